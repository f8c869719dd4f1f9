# The files of a lab's host, where they differ from those of its root. Sourced by labkit/ground.
# shellcheck shell=bash

# files_write ROOT HOST HOSTS KIND: give a host its name, its neighbours and its units. HOSTS holds lines 'ADDRESS HOST'.
files_write()
{
    local root=$1 host=$2 hosts=$3 kind=+$4+ unit units
    mkdir -p "$root"/{root,home,tmp,srv,mnt,run,dev,proc,sys,var/tmp,var/log/journal,var/spool/cron,etc/cron.d,var/lib/systemd}
    chmod 700 "$root/root"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    echo "$host" >"$root/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    echo "127.0.0.1 localhost" >"$root/etc/hosts"
    awk '{split($2, part, "."); print $1, $2, part[1]}' "$hosts" >>"$root/etc/hosts"
    sed -i 's/^hosts:.*/hosts: files dns/' "$root/etc/nsswitch.conf"
    touch "$root/etc/fstab" "$root/etc/resolv.conf" "$root/etc/environment"
    case $kind in *+ssh+*) files_ssh "$root" ;; esac

    units=$root/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants" "$root"/etc/rc{0,1,2,3,4,5,6,S}.d
    ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
    # Clocks belong to this machine; the rest is only slow, or at home on real hardware.
    for unit in systemd-timesyncd systemd-networkd systemd-resolved console-getty getty.target \
        systemd-hwdb-update systemd-journal-catalog-update systemd-update-done systemd-update-utmp \
        systemd-update-utmp-runlevel systemd-firstboot systemd-sysusers ldconfig apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer e2scrub_reap; do
        case $unit in *.*) ;; *) unit=$unit.service ;; esac
        ln -sf /dev/null "$units/$unit"
    done
    case $kind in *+bare+*) ;; *) files_forget_kerberos "$root" ;; esac
}

# files_forget_kerberos ROOT: what the packages' own scripts have made, enabled and linked, where a realm of the lab's
# will be: it is for the lab, or a test, to say what runs.
files_forget_kerberos()
{
    local root=$1
    rm -f "$root"/etc/systemd/system/*.wants/krb5-*.service "$root"/etc/rc?.d/[SK]??krb5-*
    rm -rf "$root"/var/lib/systemd/deb-systemd-helper-enabled/krb5-* \
        "$root"/var/lib/systemd/deb-systemd-helper-enabled/*/krb5-*
    [ -e "$root/etc/sysconfig/krb5kdc" ] || rm -rf "$root"/etc/krb5.conf "$root"/etc/krb5kdc "$root"/var/lib/krb5kdc
}

# files_ssh ROOT: a key of the host's own, and the primary's root may come in.
files_ssh()
{
    local root=$1
    rm -f "$root"/etc/ssh/ssh_host_*
    chroot "$root" ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
    install -d -m 700 "$root/root/.ssh"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sf /lib/systemd/system/ssh.service "$root/etc/systemd/system/multi-user.target.wants/ssh.service"
}

# files_ssh_primary ROOT HOSTS: the primary's root has a key, and knows the hosts that take it.
files_ssh_primary()
{
    local root=$1 address host key
    [ -x "$root/usr/bin/ssh-keygen" ] || return 0
    install -d -m 700 "$root/root/.ssh"
    chroot "$root" ssh-keygen -q -t ed25519 -N '' -C root@kdc1 -f /root/.ssh/id_ed25519
    while read -r address host _; do
        key=$run/fs/$host/root/etc/ssh/ssh_host_ed25519_key.pub
        [ -e "$key" ] || continue
        echo "$host,${host%%.*},$address $(cat "$key")"
        install -m 600 "$root/root/.ssh/id_ed25519.pub" "$run/fs/$host/root/root/.ssh/authorized_keys"
    done <"$2" >"$root/root/.ssh/known_hosts"
}

# What a test may change on a host and files_restore puts back.
files_of_tests="etc/krb5kdc etc/krb5.conf etc/krb5.conf.d etc/krb5.keytab etc/sysconfig var/kerberos etc/kpropctl etc/systemd/system etc/portreserve etc/services
    etc/hosts etc/resolv.conf etc/nsswitch.conf etc/default etc/inetd.conf etc/xinetd.conf etc/xinetd.d
    etc/rc0.d etc/rc1.d etc/rc2.d etc/rc3.d etc/rc4.d etc/rc5.d etc/rc6.d var/lib/krb5kdc var/lib/kpropctl
    var/lib/kpropctl-agent root"

# files_own ROOT: have these in the host's own layer from the beginning, as a reset leaves them. A file of a lower layer
# changes its inode when it is first written or linked, which no file of a server does.
files_own()
{
    local root=$1 path
    for path in $files_of_tests; do
        [ -e "$root/$path" ] || continue
        cp -a "$root/$path" "$root/$path.lab"
        rm -rf "${root:?}/$path"
        mv "$root/$path.lab" "$root/$path"
    done
}

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
