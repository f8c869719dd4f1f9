# The files of a lab's host, where they differ from this machine's. Sourced by labkit/ground.
# shellcheck shell=bash

# files_hide UPPER LOWER: before the overlay is mounted, hide what is this machine's own affair: its users' files,
# its services, its keys. A character device 0/0 in the upper folder says 'not there' to overlayfs.
files_hide()
{
    local upper=$1 lower=$2 path
    for path in "$lower"/* "$lower"/.[!.]*; do
        path=${path#"$lower"/}
        case $path in
            bin | dev | etc | lib* | proc | run | sbin | sys | usr | var) ;;
            *) files_hide_one "$upper" "$lower" "$path" ;;
        esac
    done
    for path in etc/systemd/system etc/rc{0,1,2,3,4,5,6,S}.d etc/krb5kdc etc/krb5.conf etc/krb5.conf.d etc/krb5.keytab \
        etc/kpropctl etc/portreserve etc/fstab etc/crypttab etc/hosts etc/hostname etc/resolv.conf etc/machine-id \
        etc/cron.d etc/nsswitch.conf etc/environment usr/sbin/policy-rc.d var/cache/kpropctl-lab var/kerberos var/lib/krb5kdc var/lib/kpropctl var/lib/kpropctl-agent \
        var/lib/systemd var/log var/tmp var/spool var/lib/man-db/auto-update; do
        files_hide_one "$upper" "$lower" "$path"
    done
}

files_hide_one()
{
    local upper=$1 lower=$2 path=$3
    [ -e "$lower/$path" ] || [ -L "$lower/$path" ] || return 0
    mkdir -p "$upper/$(dirname "$path")"
    mknod "$upper/$path" c 0 0
}

# files_write ROOT HOST HOSTS: give a host its name, its neighbours and its units. HOSTS holds lines 'ADDRESS HOST'.
files_write()
{
    local root=$1 host=$2 hosts=$3 unit units
    mkdir -p "$root"/{root,home,tmp,srv,mnt,var/tmp,var/log/journal,var/spool/cron,etc/cron.d,var/lib/systemd}
    chmod 700 "$root/root"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    echo "$host" >"$root/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    echo "127.0.0.1 localhost" >"$root/etc/hosts"
    awk '{split($2, part, "."); print $1, $2, part[1]}' "$hosts" >>"$root/etc/hosts"
    printf 'hosts: files dns\n%s\n' "$(grep -v '^hosts:' "$run/fs/lower/etc/nsswitch.conf")" >"$root/etc/nsswitch.conf"
    touch "$root/etc/fstab" "$root/etc/resolv.conf" "$root/etc/environment"
    [ ! -e "$root/usr/sbin/sshd" ] || files_ssh "$root"
    mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"

    units=$root/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants" "$root"/etc/rc{0,1,2,3,4,5,6,S}.d
    ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
    # Clocks belong to this machine; the rest is only slow, or at home on real hardware.
    for unit in systemd-timesyncd systemd-networkd systemd-resolved console-getty getty.target \
        systemd-hwdb-update systemd-journal-catalog-update systemd-update-done systemd-update-utmp \
        systemd-update-utmp-runlevel systemd-firstboot systemd-sysusers ldconfig; do
        case $unit in *.target) ;; *) unit=$unit.service ;; esac
        ln -s /dev/null "$units/$unit"
    done
}

# files_ssh ROOT: a key of the host's own, and the primary's root may come in.
files_ssh()
{
    local root=$1
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$root/etc/ssh/ssh_host_ed25519_key"
    install -d -m 700 "$root/root/.ssh"
    install -m 600 "$run/fs/ssh.pub" "$root/root/.ssh/authorized_keys"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sf /lib/systemd/system/ssh.service "$root/etc/systemd/system/multi-user.target.wants/ssh.service"
}

# files_ssh_primary ROOT HOSTS: the primary's root has a key, and knows the hosts that take it.
files_ssh_primary()
{
    local root=$1 address host key
    install -d -m 700 "$root/root/.ssh"
    install -m 600 "$run/fs/ssh" "$root/root/.ssh/id_ed25519"
    while read -r address host _; do
        key=$run/fs/$host/root/etc/ssh/ssh_host_ed25519_key.pub
        [ ! -e "$key" ] || echo "$host,${host%%.*},$address $(cat "$key")"
    done <"$2" >"$root/root/.ssh/known_hosts"
}

# What a test may change on a host and files_restore puts back.
files_of_tests="etc/krb5kdc etc/krb5.conf etc/krb5.conf.d etc/krb5.keytab etc/sysconfig var/kerberos etc/kpropctl etc/systemd/system etc/portreserve etc/services
    etc/hosts etc/resolv.conf etc/nsswitch.conf etc/default etc/inetd.conf etc/xinetd.conf etc/xinetd.d
    etc/rc0.d etc/rc1.d etc/rc2.d etc/rc3.d etc/rc4.d etc/rc5.d etc/rc6.d var/lib/krb5kdc var/lib/kpropctl
    var/lib/kpropctl-agent root"

# files_save ROOT SAVED; files_restore ROOT SAVED
files_save()
{
    local root=$1 saved=$2 path
    rm -rf "$saved"
    for path in $files_of_tests; do
        [ -e "$root/$path" ] || continue
        mkdir -p "$saved/$(dirname "$path")"
        cp -a "$root/$path" "$saved/$path"
    done
}

files_restore()
{
    local root=$1 saved=$2 path
    for path in $files_of_tests; do
        rm -rf "${root:?}/$path"
        [ ! -e "$saved/$path" ] || cp -a "$saved/$path" "$root/$path"
    done
    find "$root/tmp" "$root/var/tmp" -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf {} +
}
