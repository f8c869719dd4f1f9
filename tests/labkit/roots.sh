# Root file systems of Debian releases, made here and nowhere else: what a host of the lab (or a build of our packages)
# sees is such a root, and nothing of this machine. A root is a stack of layers; each layer is what one step adds to
# those below it, made once and kept in the cache under a name that its definition gives, so that a changed list makes
# a new one. The steps:
#   base          Debian's minimal system with what every host has
#   fresh         Debian's minimal system with git and sudo: a machine (tests/fresh)
#   apt:P,P,…     packages by apt, without recommendations
#   word          a word of labkit/layers.sh that changes files (rhel, sysvinit, ssh)
# Sourced by tests/lab, tests/packages, tests/fresh and labkit/makeroot.
# shellcheck shell=bash

# The new way to mount takes at most 256 bytes for the folders of an overlay (util-linux 2.39 and later try it first).
export LIBMOUNT_FORCE_MOUNT2=always

roots_cache=${KPROPCTL_LAB_CACHE:-/var/cache/kpropctl-lab}
roots_releases="bullseye bookworm trixie sid"
roots_default=bookworm
# After so many days without use a layer is removed, and a base is made again.
roots_days_unused=14
roots_days_base=30

# roots_apt_step PACKAGE…: the step that installs them.
roots_apt_step()
{
    local sorted
    sorted=$(printf '%s\n' "$@" | sort -u | paste -s -d ,)
    [ -z "$sorted" ] || echo "apt:$sorted"
}

# roots_say STEP: for people.
roots_say()
{
    case $1 in
        base | fresh) echo "the minimal system" ;;
        apt:*) echo "${1#apt:}" | tr , ' ' ;;
        *) echo "$1" ;;
    esac
}

# roots_definition RELEASE STEP: what makes the layer what it is, as a text.
roots_definition()
{
    case $2 in
        base | fresh) echo "$1 $(roots_minimal "$2")"; declare -f roots_make_base ;;
        apt:*) echo "$2"; declare -f roots_make_apt ;;
        *) cat "$here/labkit/layers.sh"; layers_packages "$2" ;;
    esac
}

# roots_minimal STEP: what is in a base beyond Debian's own minimum.
roots_minimal()
{
    case $1 in
        base) echo "$packages_of_hosts" ;;
        fresh) echo "git sudo" ;;
    esac
}

# roots_stack RELEASE STEP…: a line 'STEP FOLDER BELOW' for each step from the bottom up; FOLDER is where its layer is
# (or will be), BELOW the folders below it, for overlayfs.
roots_stack()
{
    local release=$1 step below='' key=''
    shift
    for step; do
        key=$( (echo "$key"; roots_definition "$release" "$step") | sha256sum)
        key=${key:0:16}
        echo "$step $roots_cache/roots/$release-${step%%:*}-$key/files ${below:--}"
        below=$roots_cache/roots/$release-${step%%:*}-$key/files${below:+:$below}
    done
}

# roots_lower RELEASE STEP…: the folders of the whole stack, for overlayfs.
roots_lower()
{
    local folder below
    read -r _ folder below < <(roots_stack "$@" | tail -n 1)
    [ "$below" = - ] && echo "$folder" || echo "$folder:$below"
}

# roots_have RELEASE STEP…: make the layers that are not there yet, saying so. One maker at a time for each release:
# they share apt's lists and what it has downloaded.
roots_have()
{
    local release=$1 step folder below home lock
    mkdir -p "$roots_cache/roots" || return
    while read -r step folder below; do
        home=${folder%/files}
        if [[ $step = base || $step = fresh ]] && [ -n "$(find "$home/made" -mtime "+$roots_days_base" 2>/dev/null)" ]; then
            roots_remove "$release"
        fi
        if [ -e "$home/made" ]; then
            touch "$home/used"
            continue
        fi
        exec {lock}>"$roots_cache/$release.lock"
        flock "$lock"
        if [ ! -e "$home/made" ]; then
            echo "making what hosts of $release have: $(roots_say "$step") (once on this machine)"
            # 9 is the lock of `lab up`.
            unshare --mount --uts --ipc --pid --fork --kill-child \
                "$here/labkit/makeroot" "$release" "$step" "$home" "$below" {lock}>&- </dev/null 9>&- || { exec {lock}>&-; return 1; }
            roots_sweep
        fi
        exec {lock}>&-
    done < <(roots_stack "$@")
}

# roots_remove RELEASE: all its layers.
roots_remove()
{
    rm -rf --one-file-system "$roots_cache/roots/$1"-*-*
}

# Layers that nobody has used for long: those of lists and releases that are no more.
roots_sweep()
{
    local used
    find "$roots_cache/roots" -mindepth 2 -maxdepth 2 -name used -mtime "+$roots_days_unused" | while read -r used; do
        rm -rf --one-file-system "${used%/used}"
    done
}

# roots_mirror [security]: where this machine's apt gets its own release from.
roots_mirror()
{
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk -v want="$codename${1:+-$1}" '$2 == want {print $1; exit}'
}

# roots_sources RELEASE: the text of its sources.list.
roots_sources()
{
    local release=$1 mirror security
    mirror=$(roots_mirror)
    security=$(roots_mirror security)
    [ -n "$mirror" ] || { echo "this machine's apt knows no mirror of its release" >&2; return 1; }
    echo "deb $mirror $release main"
    [ "$release" != sid ] || return 0
    echo "deb $mirror $release-updates main"
    [ -z "$security" ] || echo "deb $security $release-security main"
}

# roots_available RELEASE: whether the mirror has it.
roots_available()
{
    local mirror file status
    mirror=$(roots_mirror)
    [ -z "$(ls -d "$roots_cache/roots/$1"-base-*/made 2>/dev/null)" ] || return 0
    file=$(mktemp)
    /usr/lib/apt/apt-helper download-file "${mirror%/}/dists/$1/InRelease" "$file" >/dev/null 2>&1
    status=$?
    rm -f "$file"
    return "$status"
}

# roots_debs RELEASE PACKAGE…: the files of these packages, downloaded where the cache lost them or never had them.
roots_debs()
{
    local release=$1 debs=$roots_cache/debs/$1 package file missing=() lock
    shift
    for package; do
        ls "$debs/$package"_*.deb >/dev/null 2>&1 || missing+=("$package")
    done
    if [ ${#missing[@]} != 0 ]; then
        roots_have "$release" base || return
        exec {lock}>"$roots_cache/$release.lock"
        flock "$lock"
        unshare --mount --propagation private --pid --fork --kill-child \
            "$here/labkit/makeroot" --debs "$release" "$(roots_lower "$release" base)" "${missing[@]}" {lock}>&- </dev/null \
            9>&- || { exec {lock}>&-; return 1; }
        exec {lock}>&-
    fi
    for package; do
        file=$(ls -t "$debs/$package"_*.deb | head -n 1)
        echo "$file"
    done
}

# The rest is labkit/makeroot's: in a mount and a pid namespace of its own, with $root, the layer over those below it.

# roots_make_base FOLDER RELEASE "PACKAGE …": into the folder itself. A machine's older keys vouch for older releases.
roots_make_base()
{
    local folder=$1 release=$2 include=$3 debs=$roots_cache/debs/$2 merged=(--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr)
    # Installed by its own installer, 11 has a merged /usr too.
    [ "$release" != bullseye ] || merged=('--setup-hook=for part in bin sbin lib lib64; do
        mkdir -p "$1/usr/$part"; ln -s "usr/$part" "$1/$part"; done')
    roots_sources "$release" | mmdebstrap --quiet --mode=root --variant=minbase --format=directory \
        --include="${include// /,}" --aptopt='Acquire::Check-Valid-Until "false"' \
        "${merged[@]}" \
        --setup-hook='mkdir -p "$1"/var/cache/apt/archives' \
        --setup-hook="find '$debs' -maxdepth 1 -name '*.deb' -exec cp -t \"\$1\"/var/cache/apt/archives {} +" \
        --skip=essential/unlink --customize-hook="find \"\$1\"/var/cache/apt/archives -name '*.deb' -exec cp -nt '$debs' {} +" \
        "$release" "$folder" - || return
    rm -f "$folder"/etc/{hostname,resolv.conf,machine-id} "$folder"/var/lib/dbus/machine-id "$folder"/var/log/*.log
    find "$folder/var/cache/apt" -type f -delete
    echo 'LANG=C.UTF-8' >"$folder/etc/default/locale"
    mkdir -p "$folder/etc/dpkg/dpkg.cfg.d"
    echo force-unsafe-io >"$folder/etc/dpkg/dpkg.cfg.d/lab"
    # It is not for the machine's cache to be found full of them.
    rm -rf "$folder"/var/lib/apt/lists/*
}

# roots_make_apt ROOT PACKAGE…: enabled as Debian does it, but started never.
roots_make_apt()
{
    local root=$1
    shift
    roots_apt "$root" install --yes --no-install-recommends "$@" ||
        { roots_apt "$root" update && roots_apt "$root" install --yes --no-install-recommends "$@"; }
}

roots_apt()
{
    local root=$1
    shift
    roots_chroot "$root" apt-get --quiet --quiet -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root \
        -o APT::Keep-Downloaded-Packages=true -o Acquire::Check-Valid-Until=false "$@"
}

# roots_chroot ROOT COMMAND…: with the name of a host of the lab, and with no terminal to ask questions at.
roots_chroot()
{
    unshare --uts env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 TZ=UTC \
        sh -c 'hostname kdc99.lab.test; exec chroot "$@"' sh "$@" </dev/null
}

# roots_mount ROOT LOWER [UPPER WORK]: an overlay of these with what a chroot needs; without UPPER what is written is
# kept in memory. In a mount namespace of the caller's own.
roots_mount()
{
    local root=$1 lower=$2 upper=${3:-} work=${4:-}
    mkdir -p "$root"
    if [ -z "$upper" ]; then
        mount -t tmpfs -o mode=755 lab-root "$root"
        mkdir "$root/upper" "$root/work"
        mount -t overlay root "$root" -o "lowerdir=$lower,upperdir=$root/upper,workdir=$root/work" || return
    else
        mount -t overlay root "$root" -o "lowerdir=$lower,upperdir=$upper,workdir=$work" || return
    fi
    mkdir -p "$root/dev" "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
}

# roots_network ROOT RELEASE: what apt in there needs to reach the mirror and to keep what it downloads.
roots_network()
{
    local root=$1 release=$2 lists=$roots_cache/lists/$2 debs=$roots_cache/debs/$2
    mkdir -p "$lists/partial" "$debs/partial" "$root/var/lib/apt/lists" "$root/var/cache/apt/archives"
    mount --bind "$lists" "$root/var/lib/apt/lists"
    mount --bind "$debs" "$root/var/cache/apt/archives"
    cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
    { cat /etc/hosts; echo "10.75.4.99 kdc99.lab.test kdc99"; } >"$root/etc/hosts"
    apt-config dump | grep -E '^Acquire::https?::Proxy ' >"$root/etc/apt/apt.conf.d/00lab-proxy" || :
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    [ -n "$(find "$lists" -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit)" ] || {
        roots_apt "$root" update && find "$lists" -maxdepth 1 -name '*_Packages*' -exec touch {} +
    }
}
