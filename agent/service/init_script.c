/* init_script - see init_script.h. Links and commands are those of Debian's sysv-rc and of EL6. */
#include "agent/service/init_script.h"

#include "common/host/systemd.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Links such as S01krb5-kdc of SCRIPT in one runlevel's FOLDER. */
static void
look_for_links(const char *folder, struct init_script *script)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;

        if ((name[0] != 'S' && name[0] != 'K') || !isdigit((unsigned char)name[1]) ||
            !isdigit((unsigned char)name[2]) || strcmp(name + 3, script->name) != 0)
            continue;
        script->was_there = true;
        script->enabled = script->enabled || name[0] == 'S';
    }
    if (dir != NULL)
        closedir(dir);
}

bool
init_script_find(const char *root, const char *const *names, struct init_script *script)
{
    char path[PATH_MAX];

    memset(script, 0, sizeof(*script));
    if (root[0] == '\0' && systemd_runs_here())
        return false;
    for (; *names != NULL; names++) {
        snprintf(path, sizeof(path), "%s/etc/init.d/%s", root, *names);
        if (access(path, X_OK) != 0)
            continue;
        snprintf(script->path, sizeof(script->path), "/etc/init.d/%s", *names);
        snprintf(script->name, sizeof(script->name), "%s", *names);
        for (char level = '2'; level <= '5'; level++) {
            snprintf(path, sizeof(path), "%s/etc/rc%c.d", root, level);
            look_for_links(path, script);
        }
        return true;
    }
    return false;
}

void
init_script_command(const struct init_script *script, const char *action, char *text, size_t size)
{
    bool enable = strcmp(action, "enable") == 0;

    if (!enable && strcmp(action, "disable") != 0)
        snprintf(text, size, "%s %s", script->path, action);
    else if (access("/usr/sbin/update-rc.d", X_OK) != 0 && access("/sbin/chkconfig", X_OK) == 0)
        snprintf(text, size, "chkconfig %s %s", script->name, enable ? "on" : "off");
    else
        snprintf(text, size, "update-rc.d %s %s", script->name,
                 enable && !script->was_there ? "defaults" : action);
}

json_t *
init_script_json(const struct init_script *script)
{
    static const char *const actions[] = { "start", "stop", "enable", "disable" };
    json_t *object = json_pack("{s:s}", "path", script->path);
    char text[128];

    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        init_script_command(script, actions[i], text, sizeof(text));
        json_object_set_new(object, actions[i], json_string(text));
    }
    return object;
}
