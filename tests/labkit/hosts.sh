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

# host_kind HOST: the words of its kind.
host_kind()
{
    awk -v host="$1" '$2 == host {print $3}' "$run/hosts"
}

# host_release HOST: the Debian release of its root.
host_release()
{
    awk -v host="$1" '$2 == host {print $4}' "$run/hosts"
}

# host_is HOST WORD: whether its kind has that word.
host_is()
{
    case +$(host_kind "$1")+ in *"+$2+"*) ;; *) return 1 ;; esac
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
            *"/labkit/ground $lab $run boot $1 "*) echo "$pid"; return ;;
        esac
    done
    return 1
}

# It is remembered, with its start time as the keeper's is: to look for it takes longer than most commands.
host_leader()
{
    local shell nspawn pid started
    if read -r pid started 2>/dev/null <"$run/leader.$1" && [ "$(process_started "$pid")" = "$started" ]; then
        echo "$pid"
        return
    fi
    shell=$(host_shell "$1") || return 1
    for nspawn in $(children "$shell"); do
        for pid in $(children "$nspawn"); do
            if grep -q '^NSpid:.*[^0-9]1$' "/proc/$pid/status" 2>/dev/null &&
                { [ -S "/proc/$pid/root/run/systemd/private" ] || [ -p "/proc/$pid/root/run/initctl" ]; }; then
                echo "$pid $(process_started "$pid")" >"$run/leader.$1"
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

# host_session HOST LEADER: the cgroup of what `exec` starts. Without systemd a host has no view of its own cgroups.
host_session()
{
    if host_is "$1" sysvinit; then
        echo "/proc/$(keeper_pid)/root/sys/fs/cgroup/kpropctl-lab-$lab/$1/session-lab"
    else
        echo "/proc/$2/root/sys/fs/cgroup/user.slice/session-lab.scope"
    fi
}

# host_enter HOST COMMAND…: becomes the command, in the cgroup a login session would have, where a reset finds it. A
# service that an init script starts outlives us, and must not keep the lock of `up`.
host_enter()
{
    local host=$1 leader session environment=()
    shift
    leader=$(host_leader "$host") || die "$host is not running"
    session=$(host_session "$host" "$leader")
    mkdir -p "$session" && echo "$BASHPID" >"$session/cgroup.procs"
    # As pam_env does for whoever logs in.
    mapfile -t environment <"/proc/$leader/root/etc/environment"
    exec nsenter --target "$leader" --all --wd=/proc/"$leader"/root/root -- env -i HOME=/root USER=root LOGNAME=root \
        SHELL=/bin/bash LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        "${environment[@]}" ${TERM:+"TERM=$TERM"} ${NO_COLOR:+"NO_COLOR=$NO_COLOR"} "$@" 9>&-
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

# host_state HOST: "running" once it has booted.
host_state()
{
    local host=$1
    if host_is "$host" sysvinit; then
        host_exec "$host" test -e /run/lab-ready && echo running || echo starting
    else
        host_exec "$host" systemctl is-system-running
    fi
}

# host_wait HOST [OLD-LEADER]: until the host has booted (with another pid 1 than the old one).
host_wait()
{
    local host=$1 old=${2:-} i leader state
    for ((i = 0; i < 600; i++)); do
        leader=$(host_leader "$host")
        if [ -n "$leader" ] && [ "$leader" != "$old" ]; then
            state=$(host_state "$host" 2>/dev/null)
            case $state in
                running) return ;;
                degraded)
                    # Where there is no realm, krb5kdc cannot start.
                    host_is "$host" bare ||
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

# hosts_list RELEASE REPLICAS PRIMARY KIND…: a line for each host, with address, name, kind and release. A kind may
# begin with a release of its own, 'trixie:bare'.
hosts_list()
{
    local release=$1 replicas=$2 primary=$3 n=1 kind own kinds=()
    shift 3
    own=$release
    case $primary in *:*) own=${primary%%:*}; primary=${primary#*:} ;; esac
    echo "$network.11 kdc1.$domain primary${primary:++$primary} $own"
    for ((n = 0; n < replicas; n++)); do
        kinds+=(replica)
    done
    n=2
    for kind in "${kinds[@]}" "$@"; do
        own=$release
        case $kind in *:*) own=${kind%%:*}; kind=${kind#*:} ;; esac
        echo "$network.$((n + 10)) kdc$n.$domain ${kind:-replica} $own"
        n=$((n + 1))
    done
}

# host_steps HOST: the steps of its root. What our package needs is there before the package is; a primary that shall
# reach a host by ssh has a client.
host_steps()
{
    local kind release depends extra=()
    kind=$(host_kind "$1")
    release=$(host_release "$1")
    depends=$(packages_depends "$(packages_folder "$release")" "$(host_package "$kind")")
    case +$kind+ in *+primary+*) ! grep -q '[+ ]ssh[+ ]' "$run/hosts" || extra+=($packages_of_ssh_client) ;; esac
    layers_steps "$kind" $depends
    # Apart, so that a file of tests with a wish of its own needs one small layer more.
    roots_apt_step $(cat "$run/with") "${extra[@]}"
}

# host_package KIND: which of our packages is for it (also where a bare one has it not yet).
host_package()
{
    case +$1+ in *+primary+*) echo kpropctl ;; *) echo kpropctl-agent ;; esac
}

# packages_folder RELEASE: where our packages of it are.
packages_folder()
{
    local folder
    folder=$(cat "$run/packages")
    [ -d "$folder/$1" ] && echo "$folder/$1" || echo "$folder"
}

# packages_newest FOLDER NAME: the file of our package, if there is one.
packages_newest()
{
    ls -t "$1/$2"_*.deb 2>/dev/null | head -n 1
}

# packages_depends FOLDER NAME: what the package names as its Depends, without versions.
packages_depends()
{
    local file
    file=$(packages_newest "$1" "$2")
    [ -z "$file" ] || dpkg-deb --field "$file" Depends | tr ',' '\n' | sed 's/ *(.*//; s/ *|.*//; s/^ *//'
}

# hosts_roots: make what is missing of all hosts' roots.
hosts_roots()
{
    local host
    for host in $(hosts_all); do
        roots_have "$(host_release "$host")" $(host_steps "$host") || return
    done
}

hosts_up()
{
    local principals=$1 host hosts
    mapfile -t hosts < <(hosts_all)
    say "booting ${hosts[*]}, with a realm $realm of $principals users"
    for host in "${hosts[@]}"; do
        ground create "$host" "$(host_address "$host")" "$(host_kind "$host")" \
            "$(roots_lower "$(host_release "$host")" $(host_steps "$host"))" || return
    done
    ground realm "$principals" "${hosts[0]}" || return
    ground ssh "${hosts[0]}" || return
    for host in "${hosts[@]}"; do
        ground give "$host" "$(host_kind "$host")" || return
        host_enable_services "$host"
        ground boot "$host" "$(host_kind "$host")" || return
    done
    for host in "${hosts[@]}"; do
        host_wait "$host"
    done
}

# What runs from the first boot on: the primary's KDC, and what the packages enable by themselves on a bare host.
host_enable_services()
{
    case +$(host_kind "$1")+ in
        *+primary+*rhel*) host_enable "$1" krb5kdc kadmin ;;
        *+primary+*) host_enable "$1" krb5-kdc krb5-admin-server ;;
    esac
}

# host_enable HOST UNIT…: before its first boot.
host_enable()
{
    local host=$1 unit
    shift
    for unit; do
        inside ln -sf "/lib/systemd/system/$unit.service" \
            "$run/fs/$host/root/etc/systemd/system/multi-user.target.wants/$unit.service"
    done
}

host_reboot()
{
    local old
    old=$(host_leader "$1")
    [ -n "$old" ] || { ground boot "$1" "$(host_kind "$1")"; host_wait "$1"; return; }
    if host_is "$1" sysvinit; then
        host_exec "$1" shutdown -r now
    else
        host_exec "$1" systemctl reboot
    fi
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
    ground boot "$1" "$(host_kind "$1")"
    host_wait "$1"
}

# hosts_install BUILD: our packages, as an administrator would install them, and the portreserve double.
hosts_install()
{
    local host package pids=() pid failed=
    for host in $(hosts_all); do
        package=$(host_package "$(host_kind "$host")")
        ! host_is "$host" bare || host_is "$host" agent || package=
        host_install "$host" "$package" "$1" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=yes
    done
    [ -z "$failed" ]
}

host_install()
{
    local host=$1 package=$2 doubles=$3 root file packages
    root=$(host_path "$host")
    packages=$(packages_folder "$(host_release "$host")")
    doubles=$doubles/$(host_release "$host")/tests
    if [ -x "$doubles/portreserve" ]; then
        install -m 755 "$doubles/portreserve" "$root/usr/sbin/"
        ln -sf portreserve "$root/usr/sbin/portrelease"
        install -m 644 "$here/portreserve/portreserve.service" "$root/usr/lib/systemd/system/"
        mkdir -p "$root/etc/portreserve"
    fi
    [ -n "$package" ] || return 0
    file=$(packages_newest "$packages" "$package")
    if [ -z "$file" ]; then
        say "$host goes without the package $package: there is none in $packages"
        return
    fi
    say "installing $(basename "$file") on $host"
    install -m 644 "$file" "$root/root/"
    # Debian's packages krb5-* are there, if under other names and paths.
    host_exec "$host" dpkg -i "/root/$(basename "$file")" >"$run/dpkg.$host" 2>&1 || {
        cat "$run/dpkg.$host" >&2
        return 1
    }
    rm "$root/root/$(basename "$file")"
    [ "$package" = kpropctl ] || host_is "$host" sysvinit ||
        host_exec "$host" systemctl --quiet is-active kpropctl-agent ||
        say "$host: kpropctl-agent.service does not run"
}

# As an administrator would do it later.
host_install_late()
{
    host_install "$1" kpropctl-agent ''
}

# host_debs HOST PACKAGE…: of its release; they take room in memory, so not all that there are.
host_debs()
{
    local host=$1 root files
    shift
    root=$(host_path "$host")
    files=$(roots_debs "$(host_release "$host")" "$@") || die "cannot download them all: $*"
    mkdir -p "$root/srv/debs" && cp $files "$root/srv/debs/"
}

# hosts_save: remember the hosts as they are; hosts_reset [HOST…]: make them so again, faster than a reboot.
hosts_save()
{
    local host
    for host in $(hosts_all); do
        host_units "$host" active,activating >"$run/units.$host"
        ground save "$host" || return
    done
}

# host_units HOST STATES: its units in these states; of a host without systemd the services whose scripts say so.
host_units()
{
    if host_is "$1" sysvinit; then
        host_exec "$1" sh -c 'for script in /etc/init.d/krb5-* /etc/init.d/kpropctl*; do
            ! "$script" status >/dev/null 2>&1 || basename "$script"
        done' | sort
    else
        host_exec "$1" systemctl list-units --state="$2" --type=service,socket,timer --plain --no-legend |
            awk '{print $1}' | sort
    fi
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
    echo 1 >"$(host_session "$host" "$leader")/cgroup.kill" 2>/dev/null
    fault_clear "$host"
    ours=$(grep -E '^(krb5-|kpropctl|krb5kdc|kadmin|kprop\.)' "$run/units.$host")
    strangers=$(comm -13 "$run/units.$host" <(host_units "$host" active,activating,failed) | grep -v '^systemd-')
    [ -z "$ours$strangers" ] || host_service "$host" stop $ours $strangers
    ! host_is "$host" bare || host_is "$host" agent ||
        host_exec "$host" sh -c '! dpkg-query --show kpropctl-agent || dpkg --purge kpropctl-agent' >/dev/null 2>&1
    # What is left of closed connections would keep portreserve from its port for a minute.
    fault_net "$host" ss --kill --tcp --numeric state time-wait >/dev/null
    ground restore "$host" || return
    host_exec "$host" sh -c 'rm -rf /run/kpropctl* /run/portreserve*'
    host_is "$host" sysvinit || host_exec "$host" sh -c 'systemctl daemon-reload; systemctl reset-failed'
    [ -z "$ours" ] || host_service "$host" start $ours 2>/dev/null || host_service "$host" start $ours ||
        say "$host: not all of its services start"
}

# host_service HOST start|stop SERVICE…
host_service()
{
    local host=$1 action=$2
    shift 2
    if host_is "$host" sysvinit; then
        host_exec "$host" sh -c 'action=$1; shift; for name; do "/etc/init.d/$name" "$action" || failed=1; done
            [ -z "$failed" ]' sh "$action" "$@" >/dev/null
    else
        host_exec "$host" systemctl "$action" "$@"
    fi
}
