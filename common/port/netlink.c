/* netlink - see netlink.h. */
#include "common/port/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* include/net/tcp_states.h of Linux 6.8; never an idiag_state, only a bit to ask with. */
enum { STATE_BOUND_INACTIVE = 13 };

/* An answer that takes longer than this is none. */
enum { ANSWER_TIMEOUT_S = 5 };

struct decoding {
    uint16_t port;
    struct socket_list *list;
};

void
socket_list_add(struct socket_list *list, const struct socket_entry *entry)
{
    for (size_t i = 0; entry->inode != 0 && i < list->count; i++) {
        if (list->entries[i].inode == entry->inode)
            return;
    }
    if (list->count == SOCKETS_MAX)
        list->left_out++;
    else
        list->entries[list->count++] = *entry;
}

/*
 * The id of the control group that a socket was made in, where to look for its process first; and
 * the kernel's struct tcp_info, which newer kernels make longer.
 */
static int
decode_attribute(const struct nlattr *attr, void *data)
{
    struct socket_entry *entry = (struct socket_entry *)data;
    const size_t idle = offsetof(struct tcp_info, tcpi_last_data_recv);
    uint16_t len = mnl_attr_get_payload_len(attr);

    if (mnl_attr_get_type(attr) == INET_DIAG_CGROUP_ID && len == sizeof(uint64_t))
        entry->cgroup = mnl_attr_get_u64(attr);
    else if (mnl_attr_get_type(attr) == INET_DIAG_INFO && len >= idle + sizeof(entry->idle_ms))
        memcpy(&entry->idle_ms, (const char *)mnl_attr_get_payload(attr) + idle,
               sizeof(entry->idle_ms));
    return MNL_CB_OK;
}

static int
decode_message(const struct nlmsghdr *header, void *data)
{
    struct decoding *decoding = (struct decoding *)data;
    const struct inet_diag_msg *message;
    struct socket_entry entry = { 0 };

    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return MNL_CB_OK;
    if (mnl_nlmsg_get_payload_len(header) < sizeof(*message))
        return MNL_CB_ERROR;
    message = (const struct inet_diag_msg *)mnl_nlmsg_get_payload(header);
    if (ntohs(message->id.idiag_sport) != decoding->port)
        return MNL_CB_OK;
    if (message->idiag_family != AF_INET && message->idiag_family != AF_INET6)
        return MNL_CB_OK;
    entry.family = message->idiag_family;
    memcpy(entry.src, message->id.idiag_src, entry.family == AF_INET ? 4 : 16);
    memcpy(entry.dst, message->id.idiag_dst, entry.family == AF_INET ? 4 : 16);
    entry.sport = ntohs(message->id.idiag_sport);
    entry.dport = ntohs(message->id.idiag_dport);
    entry.state =
        message->idiag_state == STATE_BOUND_INACTIVE ? SOCKET_STATE_BOUND : message->idiag_state;
    entry.uid = message->idiag_uid;
    entry.inode = message->idiag_inode;
    mnl_attr_parse(header, sizeof(*message), decode_attribute, &entry);
    socket_list_add(decoding->list, &entry);
    return MNL_CB_OK;
}

/* Every message lies within LEN. (libmnl takes a length above INT_MAX for a good one.) */
static bool
is_whole(const void *data, size_t len)
{
    const unsigned char *p = (const unsigned char *)data;
    struct nlmsghdr header;

    while (len > 0) {
        size_t step;

        if (len < sizeof(header))
            return false;
        memcpy(&header, p, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > len)
            return false;
        step = NLMSG_ALIGN((size_t)header.nlmsg_len);
        step = step < len ? step : len;
        p += step;
        len -= step;
    }
    return true;
}

bool
netlink_decode(const void *data, size_t len, uint16_t port, struct socket_list *list)
{
    struct decoding decoding = { .port = port, .list = list };

    return is_whole(data, len) &&
           mnl_cb_run(data, len, 0, 0, decode_message, &decoding) >= MNL_CB_STOP;
}

/*
 * The kernel keeps what matches: local port at least PORT, and at most PORT. Each operation is two
 * of struct inet_diag_bc_op, the second holding the port; a jump past the end (here 4 too many)
 * means no match.
 */
static void
put_port_filter(struct nlmsghdr *header, uint16_t port)
{
    struct inet_diag_bc_op code[4];
    unsigned char size = sizeof(code[0]);

    code[0] = (struct inet_diag_bc_op){ INET_DIAG_BC_S_GE, (unsigned char)(2 * size),
                                        (unsigned short)(4 * size + 4) };
    code[1] = (struct inet_diag_bc_op){ .no = port };
    code[2] = (struct inet_diag_bc_op){ INET_DIAG_BC_S_LE, (unsigned char)(2 * size),
                                        (unsigned short)(2 * size + 4) };
    code[3] = (struct inet_diag_bc_op){ .no = port };
    mnl_attr_put(header, INET_DIAG_REQ_BYTECODE, sizeof(code), code);
}

/* Returns false with errno set. ESTALE-like interruptions of a dump are accepted: it was short. */
static bool
dump_family(struct mnl_socket *socket, int family, uint16_t port, uint32_t states,
            struct socket_list *list)
{
    char buffer[32 * 1024] __attribute__((aligned(8)));
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    struct inet_diag_req_v2 *request;
    struct decoding decoding = { .port = port, .list = list };
    uint32_t seq = (uint32_t)family;
    ssize_t got;
    int more = MNL_CB_OK;

    header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header->nlmsg_seq = seq;
    request = (struct inet_diag_req_v2 *)mnl_nlmsg_put_extra_header(header, sizeof(*request));
    request->sdiag_family = (uint8_t)family;
    request->sdiag_protocol = IPPROTO_TCP;
    request->idiag_states = states;
    request->idiag_ext = 1U << (INET_DIAG_INFO - 1);
    put_port_filter(header, port);
    if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
        return false;
    while (more > MNL_CB_STOP) {
        got = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
        if (got < 0)
            return false;
        if (!is_whole(buffer, (size_t)got)) {
            errno = EBADMSG;
            return false;
        }
        more = mnl_cb_run(buffer, (size_t)got, seq, mnl_socket_get_portid(socket), decode_message,
                          &decoding);
        if (more < 0 && errno == EINTR)
            more = MNL_CB_OK;
    }
    return more >= 0;
}

static bool
dump_port(uint16_t port, uint32_t states, struct socket_list *list)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
    struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
    bool ok;
    int code;

    if (socket == NULL)
        return false;
    ok = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
         setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
                    sizeof(timeout)) == 0 &&
         dump_family(socket, AF_INET, port, states, list);
    /* A kernel without IPv6 says ENOENT to the second question. */
    if (ok && !dump_family(socket, AF_INET6, port, states, list))
        ok = errno == ENOENT;
    code = errno;
    mnl_socket_close(socket);
    errno = code;
    return ok;
}

bool
netlink_sockets(uint16_t port, struct socket_list *list, struct error *err)
{
    if (!dump_port(port, ~0U, list))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot ask the kernel for its sockets");
    return true;
}

bool
netlink_listeners(uint16_t port, struct socket_list *list, struct error *err)
{
    if (!dump_port(port, 1U << SOCKET_STATE_LISTEN, list))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot ask the kernel for its sockets");
    return true;
}

bool
netlink_shows_bound(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct socket_list *list = NULL;
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool seen = false;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
        (list = (struct socket_list *)calloc(1, sizeof(*list))) != NULL &&
        dump_port(ntohs(address.sin_port), 1U << STATE_BOUND_INACTIVE, list))
        seen = list->count > 0;
    free(list);
    if (fd >= 0)
        close(fd);
    return seen;
}
