# The keeper: pid 1 of a lab's pid namespace, owner of its mounts and of the network that joins its hosts.
# Sourced by tests/lab, which sets $lab, $labs and $run.
# shellcheck shell=bash

# keeper_pid: the keeper's pid as this machine sees it; fails if there is none.
# The start time in the file keeps a recycled pid from being taken for the keeper.
keeper_pid()
{
    local pid started
    read -r pid started 2>/dev/null <"$run/keeper" && [ "$(process_started "$pid")" = "$started" ] && echo "$pid"
}

# process_started PID: when it started, in clock ticks since boot (field 22 of stat; the name before may hold blanks).
process_started()
{
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

keeper_running()
{
    keeper_pid >/dev/null
}

# inside COMMAND…: run it among the lab's mounts, processes and networks, but outside of any host.
inside()
{
    nsenter --target "$(keeper_pid)" --mount --pid --net -- "$@" 9>&-
}

# One `up` at a time for a name; the lock ends with this process.
keeper_lock()
{
    mkdir -p "$labs"
    exec 9>"$labs/.$lab.lock"
    flock --nonblock 9 || die "another 'up' of this lab is running"
}

# keeper_prepare: a folder for the lab; one that was left goes first.
keeper_prepare()
{
    if [ -e "$run" ]; then
        say "is there already, or was left half-way: taking it down first"
        keeper_stop
    fi
    mkdir -p "$run"
}

keeper_start()
{
    local parent child i
    setsid unshare --mount --pid --net --fork --mount-proc --propagation private \
        bash "$here/labkit/keeper" "$lab" "$run" </dev/null >"$run/log" 2>&1 9>&- &
    parent=$!
    for ((i = 0; i < 200; i++)); do
        read -r child _ 2>/dev/null <"/proc/$parent/task/$parent/children"
        if [ -n "${child:-}" ]; then
            echo "$child $(process_started "$child")" >"$run/keeper"
            break
        fi
        sleep 0.02
    done
    for ((i = 0; i < 500; i++)); do
        inside test -e "$run/fs/ready" 2>/dev/null && return
        kill -0 "$parent" 2>/dev/null || break
        sleep 0.02
    done
    cat "$run/log" >&2
    die "cannot start"
}

# keeper_stop: end the lab, however far it came. Everything in it is below the keeper; a lab whose `up` was killed
# before it wrote the keeper's pid is found by its command line.
keeper_stop()
{
    local pid i
    for pid in $(keeper_pid) $(keeper_by_name); do
        kill -KILL "$pid" 2>/dev/null
        for ((i = 0; i < 500; i++)); do
            [ -e "/proc/$pid" ] || break
            sleep 0.02
        done
    done
    cgroup_remove
    rm -rf --one-file-system "$run"
    say "is down"
}

# The keeper itself, or the unshare that is about to become its parent.
keeper_by_name()
{
    local file words
    for file in /proc/[0-9]*/cmdline; do
        mapfile -d '' -t words 2>/dev/null <"$file" || continue
        case "${words[*]}" in
            *"/labkit/keeper $lab $run") file=${file%/cmdline}; echo "${file#/proc/}" ;;
        esac
    done
}

# The lab's cgroup is empty once its processes are gone, and nothing else removes it.
cgroup_remove()
{
    unshare --mount --propagation private bash -s "kpropctl-lab-$lab" <<'EOF'
    umount --recursive /sys/fs/cgroup 2>/dev/null
    mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 0
    group=/sys/fs/cgroup/$1
    [ -d "$group" ] || exit 0
    for ((i = 0; i < 100; i++)); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$group" ] || exit 0
        sleep 0.05
    done
    echo "lab: cannot remove cgroup $1" >&2
EOF
}
