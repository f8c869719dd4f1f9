/* pin - see pin.h. */
#include "kpropctl/transfer/pin.h"

#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The machine as the kernel tells it to a filter. Where connect(2) may come as socketcall(2), its
 * arguments cannot be told apart, and nothing is held. */
#if defined(__x86_64__) && defined(__LP64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define MACHINE AUDIT_ARCH_PPC64LE
#endif

#if defined(MACHINE) && defined(SECCOMP_IOCTL_NOTIF_RECV) && defined(__NR_pidfd_getfd)
#define CAN_HOLD 1
#else
#define CAN_HOLD 0
#define MACHINE 0
#endif

struct pin {
    struct sockaddr_storage address;
    int pair[2];  /* the child gives the listener through it */
    int listener; /* the kernel's end of the filter; -1: none */
    int code;     /* errno of the connection that failed last, or 0 */
};

static socklen_t
length_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* In network byte order; 0: of another family. */
static in_port_t
port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)address)->sin_port;
    if (address->ss_family == AF_INET6)
        return ((const struct sockaddr_in6 *)(const void *)address)->sin6_port;
    return 0;
}

#if CAN_HOLD

static bool
is_possible(void)
{
    struct seccomp_notif_sizes sizes;

    return syscall(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 &&
           sizes.seccomp_notif <= sizeof(struct seccomp_notif) &&
           sizes.seccomp_notif_resp <= sizeof(struct seccomp_notif_resp) &&
           syscall(__NR_pidfd_getfd, -1, -1, 0) < 0 && errno == EBADF;
}

/* The filter: connect(2) is ours to answer. Another machine's calls have other numbers: none of
 * them is let through. */
static int
install(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __X32_SYSCALL_BIT
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, __X32_SYSCALL_BIT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_connect, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof(program) / sizeof(*program), program };
    long fd =
        syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);

    /* Without privileges only for programs that can never have more. */
    if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        fd = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                     &filter);
    return (int)fd;
}

/* The address that PID wants to connect to. */
static bool
read_address(pid_t pid, const struct seccomp_data *call, struct sockaddr_storage *address)
{
    size_t size = call->args[2] < sizeof(*address) ? (size_t)call->args[2] : sizeof(*address);
    struct iovec here = { address, size }, there = { (void *)(uintptr_t)call->args[1], size };

    memset(address, 0, sizeof(*address));
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* Descriptor FD of PID as one of our own, or -1. */
static int
borrow(pid_t pid, int fd)
{
    int process = (int)syscall(__NR_pidfd_open, pid, 0), own = -1;

    if (process >= 0) {
        own = (int)syscall(__NR_pidfd_getfd, process, fd, 0);
        close(process);
    }
    return own;
}

static bool
is_of_type(int fd, int option, int wanted)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* Connect FD, which blocks and shall go on to: 0 or an errno. */
static int
connect_to(int fd, const struct sockaddr_storage *address, double deadline)
{
    int flags = fcntl(fd, F_GETFL), code = 0, ready;
    socklen_t len = sizeof(code);
    struct pollfd p = { fd, POLLOUT, 0 };

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (connect(fd, (const struct sockaddr *)address, length_of(address)) != 0)
        code = errno;
    if (code == EINPROGRESS) {
        do {
            double left = (deadline - clock_monotonic()) * 1000;

            ready = left <= 0 ? 0 : poll(&p, 1, (int)left + 1);
        } while (ready < 0 && errno == EINTR);
        code = ETIMEDOUT;
        if (ready > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
            code = errno;
    }
    fcntl(fd, F_SETFL, flags);
    return code;
}

/* What becomes of CALL: 0 or an errno that it ends with; -1: it goes on as it is. */
static int
decide(struct pin *pin, pid_t pid, const struct seccomp_data *call, double deadline)
{
    struct sockaddr_storage wanted;
    int fd, code;

    if (!read_address(pid, call, &wanted))
        return EPERM;
    if (port_of(&wanted) == 0 || port_of(&wanted) != port_of(&pin->address))
        return -1;
    fd = borrow(pid, (int)call->args[0]);
    if (fd < 0)
        return EPERM;
    if (!is_of_type(fd, SO_TYPE, SOCK_STREAM))
        code = -1;
    else if (pin->code != 0)
        code = pin->code; /* it tries its further addresses: there is but one */
    else if (!is_of_type(fd, SO_DOMAIN, pin->address.ss_family))
        code = EAFNOSUPPORT;
    else
        code = pin->code = connect_to(fd, &pin->address, deadline);
    close(fd);
    return code;
}

void
pin_serve(struct pin *pin, double deadline)
{
    struct pollfd p = { pin->listener, POLLIN, 0 };
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
    int code;

    if (pin->listener < 0 || poll(&p, 1, 0) <= 0)
        return;
    if (!(p.revents & POLLIN)) { /* nobody is left who could call */
        close(pin->listener);
        pin->listener = -1;
        return;
    }
    memset(&call, 0, sizeof(call));
    if (ioctl(pin->listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
        return;
    code = decide(pin, (pid_t)call.pid, &call.data, deadline);
    memset(&answer, 0, sizeof(answer));
    answer.id = call.id;
    if (code < 0)
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else
        answer.error = -code;
    /* It fails where the caller was killed meanwhile. */
    (void)ioctl(pin->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* What connect(2) is given can be read in its memory alone: may we? */
static bool
may_look_into(pid_t pid)
{
    unsigned char byte;
    struct iovec here = { &byte, 1 }, there = { NULL, 1 };

    /* EFAULT: we may, but there is nothing. */
    return process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT;
}

#else

static bool
is_possible(void)
{
    return false;
}

static int
install(void)
{
    errno = ENOSYS;
    return -1;
}

void
pin_serve(struct pin *pin, double deadline)
{
    (void)pin;
    (void)deadline;
    (void)port_of;
    (void)length_of;
}

static bool
may_look_into(pid_t pid)
{
    (void)pid;
    return false;
}

#endif

struct pin *
pin_new(const struct sockaddr_storage *address, struct error *err)
{
    struct pin *pin;

    if (!is_possible())
        return NULL;
    pin = calloc(1, sizeof(*pin));
    if (pin == NULL) {
        error_memory(err);
        return NULL;
    }
    pin->address = *address;
    pin->listener = -1;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pin->pair) == 0)
        return pin;
    error_errno(err, ERROR_INTERNAL, errno, "cannot make a pair of sockets");
    free(pin);
    return NULL;
}

void
pin_free(struct pin *pin)
{
    if (pin == NULL)
        return;
    close(pin->pair[0]);
    close(pin->pair[1]);
    if (pin->listener >= 0)
        close(pin->listener);
    free(pin);
}

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

int
pin_confine(void *closure)
{
    struct pin *pin = closure;
    union control control;
    char byte = 0;
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    int fd = install();

    if (fd < 0)
        return errno;
    memset(&control, 0, sizeof(control));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    return sendmsg(pin->pair[1], &message, 0) == 1 ? 0 : errno;
}

bool
pin_begin(struct pin *pin, pid_t pid)
{
    union control control;
    char byte;
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    const struct cmsghdr *header;

    memset(&control, 0, sizeof(control));
    if (recvmsg(pin->pair[0], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
        return false;
    header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_type != SCM_RIGHTS)
        return false;
    memcpy(&pin->listener, CMSG_DATA(header), sizeof(pin->listener));
    return pid > 0 && may_look_into(pid);
}

int
pin_fd(const struct pin *pin)
{
    return pin->listener;
}
