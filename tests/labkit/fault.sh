# Things to break in a lab. Sourced by tests/lab. `reset` and `fault HOST clear` undo them.
# shellcheck shell=bash

fault_usage()
{
    cat <<'EOF'
usage: tests/lab fault HOST FAULT…
  cut                    the network cable is pulled out
  slow RATE              what the host sends is slowed down, for example to 1mbit
  drop PORT              TCP to this port of the host is dropped in silence: the sender times out
  forbid PORT [unreachable|prohibit]
                         the host cannot send TCP to this port: ENETUNREACH or EACCES at once
  disk FOLDER SIZE       a file system of its own for the folder (with its content), of a set size, for example 2m
  clock UNIT OFFSET      a service of the host sees another time (libfaketime), for example -10m
  inject UNIT WHAT…      strace --inject=WHAT for a running service and its children, for example
                         'pwrite64:error=ENOSPC:when=3' or 'rename:signal=KILL'
  clear                  mend all of it
EOF
}

host_fault()
{
    local host=$1 fault=${2:-help}
    shift 2
    case $fault in
        cut) inside ip link set "${host%%.*}" down ;;
        slow) fault_net "$host" tc qdisc replace dev eth0 root tbf rate "${1:?rate}" burst 32kb latency 400ms ;;
        drop) fault_rule "$host" iif eth0 ipproto tcp dport "${1:?port}" blackhole ;;
        forbid) fault_rule "$host" ipproto tcp dport "${1:?port}" "${2:-unreachable}" ;;
        disk) fault_disk "$host" "${1:?folder}" "${2:?size}" ;;
        clock) fault_clock "$host" "${1:?unit}" "${2:?offset}" ;;
        inject) fault_inject "$host" "$@" ;;
        clear) fault_clear "$host" ;;
        *) fault_usage; [ "$fault" = help ] ;;
    esac
}

fault_net()
{
    local host=$1
    shift
    inside nsenter --net="$run/fs/net/$host" -- "$@"
}

# The local table is looked up before any rule; it must stand behind ours, or packets to the host never reach them.
fault_rule()
{
    local host=$1
    shift
    if ! fault_net "$host" ip rule list | grep -q '^100:'; then
        fault_net "$host" ip rule add pref 100 lookup local
        while fault_net "$host" ip rule del pref 0 2>/dev/null; do :; done
    fi
    fault_net "$host" ip rule add pref 50 "$@"
}

# A service has its own view of the mounts, made when it started: those that run are started again.
fault_disk()
{
    host_exec "$1" sh -e -c '
        folder=$1 size=$2 copy=$(mktemp -d)
        cp -a "$folder/." "$copy"
        mount -t tmpfs -o "size=$size,mode=$(stat -c %a "$folder")" lab-disk "$folder"
        cp -a "$copy/." "$folder"
        rm -rf "$copy"
        systemctl try-restart krb5-kdc krb5-admin-server krb5-kpropd kpropctl-agent 2>/dev/null || :' sh "$2" "$3"
}

fault_clock()
{
    host_exec "$1" sh -e -c '
        folder=/run/systemd/system/$1.service.d
        mkdir -p "$folder"
        cat >"$folder/lab-clock.conf" <<END
[Service]
Environment=LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME=$2 FAKETIME_DONT_RESET=1
END
        systemctl daemon-reload
        systemctl restart "$1"' sh "${2%.service}" "$3"
}

fault_inject()
{
    local host=$1 unit=$2 what args=()
    shift 2
    for what; do
        args+=(-e "inject=$what")
    done
    host_exec "$host" bash -e -c '
        pid=$(systemctl show --property MainPID --value "$1")
        [ "$pid" != 0 ] || { echo "$1 does not run" >&2; exit 1; }
        shift
        strace -f -qq -o /tmp/lab-inject -p "$pid" "$@" </dev/null >/dev/null 2>&1 &
        for i in $(seq 100); do
            ! grep -q "^TracerPid:.*[1-9]" "/proc/$pid/status" || exit 0
            sleep 0.02
        done
        echo "cannot trace" >&2
        exit 1' bash "$unit" "${args[@]}"
}

fault_clear()
{
    local host=$1
    inside ip link set "${host%%.*}" up
    fault_net "$host" sh -c '
        tc qdisc del dev eth0 root 2>/dev/null
        ip rule list | grep -q ^0: || ip rule add pref 0 lookup local
        while ip rule del pref 50 2>/dev/null; do :; done
        ip rule del pref 100 2>/dev/null'
    host_exec "$host" sh -c '
        set -- /run/systemd/system/*.service.d/lab-clock.conf
        [ ! -e "$1" ] || { rm -f "$@"; systemctl daemon-reload; }
        awk "\$1 == \"lab-disk\" {print \$2}" /proc/mounts | xargs --no-run-if-empty umount --lazy'
    return 0
}
