# The hosts of a lab, seen from this machine. Sourced by tests/lab.
# shellcheck shell=bash

network=10.75.4

ground()
{
    inside "$here/labkit/ground" "$lab" "$run" "$@"
}

hosts_all()
{
    awk '{print $2}' "$run/hosts" 2>/dev/null
}

host_address()
{
    awk -v host="$1" '$2 == host {print $1}' "$run/hosts"
}

children()
{
    cat "/proc/$1/task/$1/children" 2>/dev/null
}

# host_shell HOST: the pid of the shell around its nspawn, a child of the keeper; host_leader HOST: of its pid 1.
host_shell()
{
    local pid words
    for pid in $(children "$(keeper_pid)"); do
        mapfile -d '' -t words 2>/dev/null <"/proc/$pid/cmdline"
        case "${words[*]} " in
            *"/labkit/ground $lab $run boot $1 ") echo "$pid"; return ;;
        esac
    done
    return 1
}

host_leader()
{
    local shell nspawn pid
    shell=$(host_shell "$1") || return 1
    for nspawn in $(children "$shell"); do
        for pid in $(children "$nspawn"); do
            if grep -q '^NSpid:.*[^0-9]1$' "/proc/$pid/status" 2>/dev/null &&
                [ -S "/proc/$pid/root/run/systemd/private" ]; then
                echo "$pid"
                return
            fi
        done
    done
    return 1
}

host_running()
{
    host_leader "$1" >/dev/null
}

# host_enter HOST COMMAND…: becomes the command, in the cgroup a login session would have, where a reset finds it.
host_enter()
{
    local host=$1 leader session
    shift
    leader=$(host_leader "$host") || die "$host is not running"
    session=/proc/$leader/root/sys/fs/cgroup/user.slice/session-lab.scope
    mkdir -p "$session" && echo "$BASHPID" >"$session/cgroup.procs"
    exec nsenter --target "$leader" --all --wd=/proc/"$leader"/root/root -- env -i HOME=/root USER=root LOGNAME=root \
        SHELL=/bin/bash LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${TERM:+"TERM=$TERM"} ${NO_COLOR:+"NO_COLOR=$NO_COLOR"} "$@"
}

host_exec()
{
    (host_enter "$@")
}

# host_net HOST COMMAND…: only the network is the host's; files and processes are this machine's.
host_net()
{
    local host=$1 leader
    shift
    leader=$(host_leader "$host") || die "$host is not running"
    exec nsenter --target "$leader" --net -- "$@"
}

# host_path HOST: as the host itself sees it while it runs; else its files alone.
host_path()
{
    local leader keeper
    if leader=$(host_leader "$1"); then
        echo "/proc/$leader/root"
    else
        keeper=$(keeper_pid)
        echo "/proc/$keeper/root$run/fs/$1/root"
    fi
}

# host_wait HOST [OLD-LEADER]: until the host has booted (with another pid 1 than the old one).
host_wait()
{
    local host=$1 old=${2:-} i leader state
    for ((i = 0; i < 600; i++)); do
        leader=$(host_leader "$host")
        if [ -n "$leader" ] && [ "$leader" != "$old" ]; then
            state=$(host_exec "$host" systemctl is-system-running 2>/dev/null)
            case $state in
                running) return ;;
                degraded)
                    say "$host is degraded:" $(host_exec "$host" systemctl list-units --failed --plain --no-legend |
                        awk '{print $1}')
                    return
                    ;;
            esac
        fi
        sleep 0.1
    done
    tail -n 20 "$run/console.$host" >&2
    die "$host does not boot"
}

hosts_up()
{
    local replicas=$1 principals=$2 n host hosts making
    for ((n = 1; n <= replicas + 1; n++)); do
        echo "$network.$((n + 10)) kdc$n.$domain"
    done >"$run/hosts"
    mapfile -t hosts < <(hosts_all)
    say "creating realm $realm with $principals users"
    ground realm "$principals" "${hosts[@]}" &
    making=$!
    say "booting ${hosts[*]}"
    for host in "${hosts[@]}"; do
        ground create "$host" "$(host_address "$host")" || return
    done
    wait "$making" || return
    for host in "${hosts[@]}"; do
        ground give "$host" || return
        [ "$host" != "${hosts[0]}" ] || host_enable "$host" krb5-kdc krb5-admin-server
        ground boot "$host" || return
    done
    for host in "${hosts[@]}"; do
        host_wait "$host"
    done
}

# host_enable HOST UNIT…: before its first boot.
host_enable()
{
    local host=$1 unit
    shift
    for unit; do
        inside ln -s "/lib/systemd/system/$unit.service" \
            "$run/fs/$host/root/etc/systemd/system/multi-user.target.wants/$unit.service"
    done
}

host_reboot()
{
    local old
    old=$(host_leader "$1")
    [ -n "$old" ] || { ground boot "$1"; host_wait "$1"; return; }
    host_exec "$1" systemctl reboot
    host_wait "$1" "$old"
}

# As when somebody pulls the plug: nothing in the host gets a word in, but what it wrote is there.
host_reboot_hard()
{
    local shell nspawn
    if shell=$(host_shell "$1"); then
        nspawn=$(children "$shell")
        kill -KILL "$shell" $nspawn $(for pid in $nspawn; do children "$pid"; done) 2>/dev/null
        while [ -e "/proc/$shell" ]; do sleep 0.02; done
    fi
    ground boot "$1"
    host_wait "$1"
}

# hosts_install PACKAGES DOUBLES: our packages, as an administrator would install them, and the portreserve double.
hosts_install()
{
    local host package pids=() pid failed=
    for host in $(hosts_all); do
        case $host in
            kdc1.*) package=kpropctl ;;
            *) package=kpropctl-agent ;;
        esac
        host_install "$host" "$1" "$package" "$2" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=yes
    done
    [ -z "$failed" ]
}

host_install()
{
    local host=$1 packages=$2 package=$3 doubles=$4 root file
    root=$(host_path "$host")
    if [ -x "$doubles/portreserve" ]; then
        install -m 755 "$doubles/portreserve" "$root/usr/sbin/"
        ln -sf portreserve "$root/usr/sbin/portrelease"
        install -m 644 "$here/portreserve/portreserve.service" "$root/usr/lib/systemd/system/"
        mkdir -p "$root/etc/portreserve"
    fi
    file=$(ls -t "$packages/${package}"_*.deb 2>/dev/null | head -n 1)
    if [ -z "$file" ]; then
        say "$host goes without the package $package: there is none in $packages"
        return
    fi
    say "installing $(basename "$file") on $host"
    install -m 644 "$file" "$root/root/"
    host_exec "$host" dpkg -i "/root/$(basename "$file")" >"$run/dpkg.$host" 2>&1 || {
        cat "$run/dpkg.$host" >&2
        return 1
    }
    rm "$root/root/$(basename "$file")"
    [ "$package" = kpropctl ] || host_exec "$host" systemctl --quiet is-active kpropctl-agent ||
        say "$host: kpropctl-agent.service does not run"
}

# hosts_save: remember the hosts as they are; hosts_reset [HOST…]: make them so again, faster than a reboot.
hosts_save()
{
    local host
    for host in $(hosts_all); do
        host_units "$host" >"$run/units.$host"
        ground save "$host" || return
    done
}

host_units()
{
    host_exec "$1" systemctl list-units --state=active,activating,failed --type=service,socket,timer --plain --no-legend |
        awk '{print $1}' | sort
}

hosts_reset()
{
    local host pids=() failed=
    [ $# -gt 0 ] || set -- $(hosts_all)
    for host; do
        host_reset "$(full_name "$host")" &
        pids+=($!)
    done
    for host in "${pids[@]}"; do
        wait "$host" || failed=yes
    done
    [ -z "$failed" ]
}

# A forking service may lose a race with its own pid file on a busy machine: started again, it runs.
# Services whose files come back are stopped meanwhile; what did not run at the time of the save is stopped for good.
host_reset()
{
    local host=$1 ours strangers leader
    leader=$(host_leader "$host") || { host_reboot "$host"; leader=$(host_leader "$host"); }
    echo 1 >"/proc/$leader/root/sys/fs/cgroup/user.slice/session-lab.scope/cgroup.kill" 2>/dev/null
    fault_clear "$host"
    ours=$(grep -E '^(krb5-|kpropctl)' "$run/units.$host")
    strangers=$(comm -13 "$run/units.$host" <(host_units "$host") | grep -v '^systemd-')
    [ -z "$ours$strangers" ] || host_exec "$host" systemctl stop $ours $strangers
    # What is left of closed connections would keep portreserve from its port for a minute.
    fault_net "$host" ss --kill --tcp --numeric state time-wait >/dev/null
    ground restore "$host" || return
    host_exec "$host" sh -c 'rm -rf /run/kpropctl* /run/portreserve*; systemctl daemon-reload
        systemctl reset-failed; [ $# = 0 ] || systemctl start "$@" 2>/dev/null || systemctl start "$@"' sh $ours || say "$host: not all of its services start"
}
