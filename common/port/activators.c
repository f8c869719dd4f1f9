/* activators - see activators.h. */
#include "common/port/activators.h"

#include "common/base/files.h"
#include "common/base/subprocess.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES = 256 * 1024, LINE_BYTES = 2048, WORDS_MAX = 64 };

/* A port by number or service name; 0 if it is neither. */
static uint16_t
port_of(const char *text)
{
    const struct servent *entry;
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end != text && *end == '\0')
        return number <= 65535 ? (uint16_t)number : 0;
    entry = getservbyname(text, "tcp");
    return entry != NULL ? ntohs((uint16_t)entry->s_port) : 0;
}

static bool
names_kpropd(const char *word)
{
    const char *slash = strrchr(word, '/');

    const char *name = slash != NULL ? slash + 1 : word;

    return strcmp(name, "kpropd") == 0 || strcmp(name, "_kpropd") == 0;
}

/* Cut LINE at blanks into at most WORDS_MAX words. */
static size_t
split(char *line, char **words)
{
    size_t count = 0;
    char *save = NULL;

    for (char *word = strtok_r(line, " \t\r", &save); word != NULL && count < WORDS_MAX;
         word = strtok_r(NULL, " \t\r", &save))
        words[count++] = word;
    return count;
}

static void
set_found(struct activation *result, const char *file, char **words, size_t count)
{
    size_t len = 0;

    result->found = true;
    snprintf(result->file, sizeof(result->file), "%s", file);
    result->server[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        result->kpropd = result->kpropd || names_kpropd(words[i]);
        if (len < sizeof(result->server))
            len += (size_t)snprintf(result->server + len, sizeof(result->server) - len, "%s%s",
                                    i > 0 ? " " : "", words[i]);
    }
    /* It came from a file: valid UTF-8 from here on. */
    text_clean(result->server, strlen(result->server), result->server, sizeof(result->server));
}

/* Hand each line to FUNCTION, without its end, cut where it is too long. */
static void
each_line(const char *text, size_t len, void (*function)(char *line, void *data), void *data)
{
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t n = end != NULL ? (size_t)(end - text) : len;
        char line[LINE_BYTES];
        size_t copy = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

        memcpy(line, text, copy);
        line[copy] = '\0';
        function(line, data);
        text += n + (end != NULL);
        len -= n + (end != NULL);
    }
}

struct parsing {
    uint16_t port;
    const char *file;
    struct activation *result;
    /* of an xinetd service */
    bool inside;
    bool disabled;
    bool udp;
    uint16_t service_port;
    char *words[WORDS_MAX]; /* the server and its arguments, in TEXT */
    char server[512];
    char arguments[1024];
};

/* service[,…] socket-type protocol wait user server [arguments]; the service may have an address.
 */
static void
inetd_line(char *line, void *data)
{
    struct parsing *parsing = (struct parsing *)data;
    char *words[WORDS_MAX], *service;
    size_t count;

    if (line[0] == '#')
        return;
    count = split(line, words);
    if (count < 6 || strncmp(words[2], "tcp", 3) != 0)
        return;
    service = strrchr(words[0], ':');
    if (port_of(service != NULL ? service + 1 : words[0]) == parsing->port)
        set_found(parsing->result, parsing->file, words + 5, count - 5);
}

void
activators_parse_inetd(const char *text, size_t len, uint16_t port, const char *file,
                       struct activation *result)
{
    struct parsing parsing = { .port = port, .file = file, .result = result };

    each_line(text, len, inetd_line, &parsing);
}

static void
xinetd_begin(struct parsing *parsing, const char *service)
{
    parsing->inside = true;
    parsing->disabled = parsing->udp = false;
    parsing->service_port = port_of(service);
    parsing->server[0] = parsing->arguments[0] = '\0';
}

static void
xinetd_end(struct parsing *parsing)
{
    char text[sizeof(parsing->server) + sizeof(parsing->arguments) + 1];

    parsing->inside = false;
    if (parsing->disabled || parsing->udp || parsing->service_port != parsing->port)
        return;
    snprintf(text, sizeof(text), "%s %s", parsing->server, parsing->arguments);
    set_found(parsing->result, parsing->file, parsing->words, split(text, parsing->words));
}

static void
xinetd_attribute(struct parsing *parsing, const char *key, const char *value)
{
    if (strcmp(key, "disable") == 0)
        parsing->disabled = strcasecmp(value, "yes") == 0;
    else if (strcmp(key, "port") == 0)
        parsing->service_port = port_of(value);
    else if (strcmp(key, "protocol") == 0)
        parsing->udp = strncmp(value, "udp", 3) == 0;
    else if (strcmp(key, "socket_type") == 0)
        parsing->udp = parsing->udp || strcmp(value, "dgram") == 0;
    else if (strcmp(key, "server") == 0)
        snprintf(parsing->server, sizeof(parsing->server), "%s", value);
    else if (strcmp(key, "server_args") == 0)
        snprintf(parsing->arguments, sizeof(parsing->arguments), "%s", value);
}

static void
xinetd_line(char *line, void *data)
{
    struct parsing *parsing = (struct parsing *)data;
    char *key = line + strspn(line, " \t\r"), *value;
    size_t len;

    for (len = strlen(key); len > 0 && isspace((unsigned char)key[len - 1]); len--)
        key[len - 1] = '\0';
    if (*key == '#')
        return;
    if (!parsing->inside) {
        if (strncmp(key, "service", 7) != 0 || !isspace((unsigned char)key[7]))
            return;
        key += 7 + strspn(key + 7, " \t");
        key[strcspn(key, " \t{")] = '\0';
        xinetd_begin(parsing, key);
        return;
    }
    if (*key == '}') {
        xinetd_end(parsing);
        return;
    }
    len = strcspn(key, " \t=+-");
    value = strchr(key, '=');
    if (value == NULL)
        return;
    value += 1 + strspn(value + 1, " \t");
    key[len] = '\0';
    xinetd_attribute(parsing, key, value);
}

void
activators_parse_xinetd(const char *text, size_t len, uint16_t port, const char *file,
                        struct activation *result)
{
    struct parsing parsing = { .port = port, .file = file, .result = result };

    each_line(text, len, xinetd_line, &parsing);
}

typedef void (*parse_function)(const char *text, size_t len, uint16_t port, const char *file,
                               struct activation *result);

static void
parse_file(const char *root, const char *file, uint16_t port, parse_function parse,
           struct activation *result)
{
    char path[PATH_MAX];
    struct buffer content;
    struct error err;

    buffer_init(&content, FILE_BYTES);
    snprintf(path, sizeof(path), "%s%s", root != NULL ? root : "", file);
    if (file_read(path, &content, &err) && content.len > 0)
        parse((const char *)content.data, content.len, port, file, result);
    buffer_free(&content);
}

/* Every file of FOLDER but those that xinetd skips: with a '.' in their name, or ending in '~'. */
static void
parse_folder(const char *root, const char *folder, uint16_t port, struct activation *result)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s%s", root != NULL ? root : "", folder);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL && !result->kpropd) {
        if (strchr(entry->d_name, '.') != NULL || strchr(entry->d_name, '~') != NULL)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        parse_file(root, path, port, activators_parse_xinetd, result);
    }
    if (dir != NULL)
        closedir(dir);
}

/* The last word of the command line that is an absolute path, behind the program itself. */
static void
own_config(const struct process_info *info, const char *standard, char *file, size_t size)
{
    char command[sizeof(info->command)], *words[WORDS_MAX];
    size_t count;

    snprintf(command, sizeof(command), "%s", info->command);
    count = split(command, words);
    snprintf(file, size, "%s", standard);
    for (size_t i = 1; i < count; i++) {
        if (words[i][0] == '/' && strcmp(words[i - 1], "-pidfile") != 0 &&
            strcmp(words[i - 1], "-filelog") != 0 && strcmp(words[i - 1], "-p") != 0)
            snprintf(file, size, "%s", words[i]);
    }
}

static void
ask_inetd(const struct process_info *info, uint16_t port, const char *root,
          struct activation *result)
{
    char file[PATH_MAX];

    own_config(info, "/etc/inetd.conf", file, sizeof(file));
    parse_file(root, file, port, activators_parse_inetd, result);
}

static void
ask_xinetd(const struct process_info *info, uint16_t port, const char *root,
           struct activation *result)
{
    char file[PATH_MAX];

    own_config(info, "/etc/xinetd.conf", file, sizeof(file));
    parse_file(root, file, port, activators_parse_xinetd, result);
    if (!result->kpropd)
        parse_folder(root, "/etc/xinetd.d", port, result);
    /* Debian's xinetd reads inetd's file too (-inetd_compat). */
    if (!result->found && strstr(info->command, "-inetd_compat") != NULL)
        parse_file(root, "/etc/inetd.conf", port, activators_parse_inetd, result);
}

struct sockets {
    uint16_t port;
    char id[256];
    char triggers[256];
    bool match;
    bool accept;
    char *socket_unit;
    size_t socket_size;
    char *service;
    size_t service_size;
};

/* The end of one unit's properties. */
static void
sockets_end(struct sockets *sockets)
{
    size_t stem = strlen(sockets->id);

    if (sockets->match && stem > 7 && sockets->socket_unit[0] == '\0') {
        snprintf(sockets->socket_unit, sockets->socket_size, "%s", sockets->id);
        stem -= strlen(".socket");
        /* With Accept=yes each connection has an instance of the template. */
        if (sockets->accept)
            snprintf(sockets->service, sockets->service_size, "%.*s@0.service", (int)stem,
                     sockets->id);
        else if (sockets->triggers[0] != '\0')
            snprintf(sockets->service, sockets->service_size, "%s", sockets->triggers);
        else
            snprintf(sockets->service, sockets->service_size, "%.*s.service", (int)stem,
                     sockets->id);
    }
    sockets->id[0] = sockets->triggers[0] = '\0';
    sockets->match = sockets->accept = false;
}

/* Listen=[::]:754 (Stream) /run/x (Stream) … */
static bool
listens_on(const char *value, uint16_t port)
{
    char end[32];
    const char *found;

    snprintf(end, sizeof(end), ":%u (Stream)", port);
    found = strstr(value, end);
    if (found != NULL)
        return true;
    snprintf(end, sizeof(end), "%u (Stream)", port);
    return strncmp(value, end, strlen(end)) == 0;
}

static void
sockets_line(char *line, void *data)
{
    struct sockets *sockets = (struct sockets *)data;

    if (line[0] == '\0')
        sockets_end(sockets);
    else if (strncmp(line, "Id=", 3) == 0)
        snprintf(sockets->id, sizeof(sockets->id), "%.250s", line + 3);
    else if (strncmp(line, "Listen=", 7) == 0)
        sockets->match = sockets->match || listens_on(line + 7, sockets->port);
    else if (strncmp(line, "Accept=", 7) == 0)
        sockets->accept = strcmp(line + 7, "yes") == 0;
    else if (strncmp(line, "Triggers=", 9) == 0)
        snprintf(sockets->triggers, sizeof(sockets->triggers), "%.*s", (int)strcspn(line + 9, " "),
                 line + 9);
}

void
activators_parse_sockets(const char *text, uint16_t port, char *socket_unit, size_t socket_size,
                         char *service, size_t service_size)
{
    struct sockets sockets = { .port = port,
                               .socket_unit = socket_unit,
                               .socket_size = socket_size,
                               .service = service,
                               .service_size = service_size };

    socket_unit[0] = service[0] = '\0';
    each_line(text, strlen(text), sockets_line, &sockets);
    sockets_end(&sockets);
}

static const char *
systemctl(void)
{
    return access("/usr/bin/systemctl", X_OK) == 0 ? "/usr/bin/systemctl" : "/bin/systemctl";
}

/* ExecStart={ path=/usr/sbin/kpropd ; argv[]=/usr/sbin/kpropd -S ; … } of UNIT. */
static void
ask_service(const char *unit, const char *socket_unit, struct activation *result)
{
    const char *argv[] = { systemctl(), "show", "-p", "ExecStart", unit, NULL };
    struct subprocess_result run;
    char *words[WORDS_MAX], *copy = NULL;
    const char *start;
    struct error err;

    result->found = true;
    snprintf(result->file, sizeof(result->file), "%s", socket_unit);
    snprintf(result->server, sizeof(result->server), "%s", unit);
    if (subprocess_run(argv, NULL, 5000, &run, &err) && subprocess_succeeded(&run) &&
        (start = strstr(buffer_string(&run.out), "argv[]=")) != NULL &&
        (copy = strndup(start + 7, strcspn(start + 7, ";\n"))) != NULL)
        set_found(result, socket_unit, words, split(copy, words));
    free(copy);
    subprocess_result_free(&run);
}

static void
ask_systemd(uint16_t port, struct activation *result)
{
    const char *argv[] = {
        systemctl(), "show", "-p", "Id,Listen,Accept,Triggers", "*.socket", NULL
    };
    char socket_unit[256] = "", service[300] = "";
    struct subprocess_result run;
    struct error err;

    if (subprocess_run(argv, NULL, 5000, &run, &err) && subprocess_succeeded(&run))
        activators_parse_sockets(buffer_string(&run.out), port, socket_unit, sizeof(socket_unit),
                                 service, sizeof(service));
    subprocess_result_free(&run);
    if (service[0] != '\0')
        ask_service(service, socket_unit, result);
}

bool
activators_ask(const struct process_info *info, uint16_t port, const char *root,
               struct activation *result)
{
    *result = (struct activation){ 0 };
    if (info->pid == 1 && process_is(info, "systemd"))
        ask_systemd(port, result);
    else if (process_is(info, "xinetd"))
        ask_xinetd(info, port, root, result);
    else if (process_is(info, "inetd") || process_is(info, "inetutils-inetd") ||
             process_is(info, "openbsd-inetd"))
        ask_inetd(info, port, root, result);
    else
        return false;
    return true;
}
