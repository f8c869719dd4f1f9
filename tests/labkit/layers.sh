# What kinds of hosts have beyond the ordinary one: a layer of files for each, made once on a machine and kept as an
# archive. A kind is made of these words, joined by '+' in this order: rhel, sysvinit, ssh, bare; each layer is made on
# top of that of the words before it. Sourced by tests/lab (download) and labkit/ground (the rest).
# shellcheck shell=bash

layers_cache=/var/cache/kpropctl-lab
layers_words="rhel sysvinit ssh bare"

# layers_name WORDS: the words (joined by '+') that are layers, in their order; fails if one is no word of ours. Two
# are words without a layer: agent (a bare host with our package), and replica (an ordinary host).
layers_name()
{
    local word name=
    for word in ${1//+/ }; do
        case " $layers_words agent replica " in *" $word "*) ;; *) return 1 ;; esac
    done
    for word in $layers_words; do
        case +$1+ in *"+$word+"*) name=$name${name:++}$word ;; esac
    done
    echo "$name"
}

layers_packages()
{
    case $1 in
        sysvinit) echo sysvinit-core inetutils-syslogd ;;
        ssh) echo openssh-server ;;
    esac
}

# layers_archive LAYER: where it is kept, as this file and this machine's packages would make it.
layers_archive()
{
    local key
    key=$(cat "${BASH_SOURCE[0]}" /var/lib/dpkg/status | sha256sum)
    echo "$layers_cache/$1-${key:0:16}.tar"
}

# layers_download LAYER…: the packages of those that are not there yet, while this machine's network is at hand. They
# are not installed here.
layers_download()
{
    local layer word folder
    for layer; do
        [ ! -e "$(layers_archive "$layer")" ] || continue
        for word in ${layer//+/ }; do
            [ -n "$(layers_packages "$word")" ] || continue
            folder=$layers_cache/packages/$word
            mkdir -p "$folder/partial"
            [ -n "$(find "$folder" -name '*.deb' -mtime -7 -print -quit)" ] || {
                say "downloading" $(layers_packages "$word")
                rm -f "$folder"/*.deb
                apt_get install --yes --no-install-recommends --download-only --allow-remove-essential \
                    -o Dir::Cache::archives="$folder" $(layers_packages "$word")
            } || return
        done
    done
}

# layers_have LAYER LOWER: its folder below $run/fs/layers; LOWER are the folders of an ordinary host, for overlayfs.
layers_have()
{
    local layer=$1 lower=$2 word=${1##*+} before='' folder=$run/fs/layers/$1 archive
    [ ! -d "$folder" ] || return 0
    archive=$(layers_archive "$layer")
    [ "$word" = "$layer" ] || before=${layer%+*}
    [ -z "$before" ] || layers_have "$before" "$lower" || return
    mkdir -p "$folder"
    if [ -e "$archive" ]; then
        tar --extract --xattrs --xattrs-include='trusted.*' --file="$archive" --directory="$folder"
        return
    fi
    layers_build "$word" "$(layers_lower "$before" "$lower")" "$folder" "$layer" || { rm -rf "$folder"; return 1; }
    # Another source tree may still want the others.
    mkdir -p "$layers_cache"
    find "$layers_cache" -maxdepth 1 -name '*.tar*' -mtime +7 -delete
    tar --create --xattrs --xattrs-include='trusted.*' --file="$archive.$$" --directory="$folder" . &&
        mv "$archive.$$" "$archive"
}

# layers_lower LAYER LOWER: the lower folders of a host of that kind.
layers_lower()
{
    local layer=$1 lower=$2
    while [ -n "$layer" ]; do
        echo -n "$run/fs/layers/$layer:"
        case $layer in *+*) layer=${layer%+*} ;; *) layer= ;; esac
    done
    echo "$lower"
}

layers_build()
{
    local word=$1 lower=$2 folder=$3 layer=$4 work=$run/fs/layers/.work root=$run/fs/layers/.root log=$run/layer.$4
    rm -rf "$work" && mkdir -p "$work" "$root"
    echo "lab: making the files of a host of kind $layer (once on this machine)"
    # A host's name and services are what the packages' scripts look at: they see the lab's, and start nothing.
    if ! (set -e; mount -t overlay layer "$root" -o "lowerdir=$lower,upperdir=$folder,workdir=$work"
        mount --bind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mkdir -p "$root/tmp" "$root/root" "$root/var/log" "$root/var/tmp" "$root/var/lib/systemd" \
            "$root/etc/systemd/system" "$root"/etc/rc{0,1,2,3,4,5,6,S}.d "$root/var/spool"
        chmod 1777 "$root/tmp" "$root/var/tmp"
        printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
        chmod 755 "$root/usr/sbin/policy-rc.d"
        [ ! -d "$layers_cache/packages/$word" ] ||
            cp "$layers_cache/packages/$word"/*.deb "$root/tmp/"
        "layers_make_$word" "$root" "$layer") >"$log" 2>&1; then
        cat "$log" >&2
        umount --recursive "$root"
        return 1
    fi
    rm -rf "${root:?}"/{tmp,root,var/tmp,var/log,usr/sbin/policy-rc.d}
    umount --recursive "$root"
    rm -rf "${folder:?}"/{dev,proc,tmp,root,run,var/tmp,var/log,var/cache/ldconfig,var/cache/apt,usr/sbin/policy-rc.d} \
        "$folder"/etc/{hosts,hostname} "$folder"/var/lib/dpkg/*-old "$folder"/var/cache/debconf/*-old
}

# layers_chroot ROOT COMMAND…: with the name of a host of the lab, and with no terminal to ask questions at.
layers_chroot()
{
    local root=$1
    shift
    echo "127.0.0.1 localhost" >"$root/etc/hosts"
    echo "10.75.4.99 kdc99.lab.test kdc99" >>"$root/etc/hosts"
    # shellcheck disable=SC2016 # The inner shell's.
    unshare --uts env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 \
        sh -c 'hostname kdc99.lab.test; exec chroot "$@"' sh "$root" "$@" </dev/null
}

layers_make_ssh()
{
    layers_chroot "$1" sh -c 'dpkg --force-unsafe-io -i /tmp/*.deb'
    rm -f "$1"/etc/ssh/ssh_host_*
}

# systemd's package stays, as it does where something depends on it; what is gone is its claim to be pid 1. Nothing of
# this machine's hardware and disks is for a host of the lab to check, mount or set.
layers_make_sysvinit()
{
    local root=$1 script
    # apt removes systemd-sysv and whatever cannot be without it.
    mkdir "$root/tmp/partial"
    layers_chroot "$root" apt-get install --yes --no-install-recommends --allow-remove-essential --no-download \
        -o Dir::Cache::archives=/tmp -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 $(layers_packages sysvinit)
    echo '*.* -/var/log/syslog' >"$root/etc/syslog.conf"
    for script in checkroot.sh checkroot-bootclean.sh checkfs.sh mountall.sh mountall-bootclean.sh mountkernfs.sh \
        mountdevsubfs.sh mountnfs.sh mountnfs-bootclean.sh hwclock.sh hostname.sh urandom procps udev bootlogs \
        umountfs umountroot umountnfs.sh brightness kmod motd dbus exim4 icinga2 nagios4 postgresql prometheus \
        prometheus-node-exporter x11-common; do
        rm -f "$root"/etc/rc?.d/[SK]??"$script"
    done
    # There are no terminals to log in at.
    sed -i '/getty/d' "$root/etc/inittab"
    cat >"$root/etc/init.d/lab-ready" <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          lab-ready
# Required-Start:    $all
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: tell the lab that this host has booted
### END INIT INFO
touch /run/lab-ready
END
    chmod 755 "$root/etc/init.d/lab-ready"
    layers_chroot "$root" update-rc.d lab-ready defaults
}

# What `apt install krb5-kdc krb5-kpropd krb5-user` leaves on a host that has never heard of Kerberos: the packages'
# own scripts do it, with nobody there to answer their questions.
layers_make_bare()
{
    local root=$1 package
    case $2 in *rhel*) return ;; esac
    layers_chroot "$root" dpkg --force-unsafe-io --force-depends --purge krb5-admin-server
    for package in krb5-config krb5-kdc krb5-kpropd; do
        layers_chroot "$root" sh -c "echo PURGE | debconf-communicate $package" >/dev/null
    done
    rm -rf "${root:?}"/etc/{krb5.conf,krb5.conf.d,krb5kdc,default/krb5-kdc} "$root"/var/lib/krb5kdc \
        "$root"/etc/systemd/system/*
    install -d -m 700 "$root/etc/krb5kdc" "$root/var/lib/krb5kdc"
    for package in krb5-config krb5-kdc krb5-kpropd; do
        layers_chroot "$root" env DPKG_MAINTSCRIPT_PACKAGE="$package" DPKG_MAINTSCRIPT_NAME=postinst \
            /usr/share/debconf/frontend "/var/lib/dpkg/info/$package.postinst" configure ''
    done
}

# RHEL's names and places (krb5.spec and its units), with Debian's programs. What RHEL compiles in comes here from the
# environment of every service and login: where kdc.conf is, and as the last of KRB5_CONFIG's files, which counts least,
# a file with RHEL's defaults (KPROPCTL.INVALID is the realm that common/realm.c asks for them by). kpropd heeds neither
# for two of its paths: a wrapper says them.
layers_make_rhel()
{
    local root=$1 kdc=/var/kerberos/krb5kdc units=$1/usr/lib/systemd/system
    rm -rf "$units"/krb5-{kdc,kpropd,admin-server}.service "$root"/etc/init.d/krb5-* "$root"/etc/default/{krb5-*,kpropd} \
        "$root"/etc/krb5kdc "$root"/var/lib/krb5kdc
    mkdir -p "$root/etc/krb5.conf.d" "$root/etc/sysconfig" "$root/usr/lib/kpropctl-lab" "$root$kdc" \
        "$root/etc/systemd/system.conf.d"
    layers_rhel_unit krb5kdc "Kerberos 5 KDC" KRB5KDC_ARGS "krb5kdc -P /run/krb5kdc.pid" "PIDFile=/run/krb5kdc.pid" \
        >"$units/krb5kdc.service"
    layers_rhel_unit kadmin "Kerberos 5 Password-changing and Administration" KADMIND_ARGS \
        "kadmind -P /run/kadmind.pid" "PIDFile=/run/kadmind.pid" >"$units/kadmin.service"
    layers_rhel_unit kprop "Kerberos 5 Propagation" KPROPD_ARGS kpropd "" |
        sed "/^After=/a AssertPathExists=$kdc/kpropd.acl" >"$units/kprop.service"
    echo "KRB5KDC_ARGS=" >"$root/etc/sysconfig/krb5kdc"
    echo "KADMIND_ARGS=" >"$root/etc/sysconfig/kadmin"
    echo "KPROPD_ARGS=" >"$root/etc/sysconfig/kprop"
    layers_rhel_krb5_conf >"$root/etc/krb5.conf"
    install -m 600 /dev/stdin "$root$kdc/kdc.conf" <<END
[kdcdefaults]
    kdc_ports = 88
    kdc_tcp_ports = 88

[realms]
    EXAMPLE.COM = {
        acl_file = $kdc/kadm5.acl
        dict_file = /usr/share/dict/words
        admin_keytab = $kdc/kadm5.keytab
    }
END
    echo '*/admin@EXAMPLE.COM *' | install -m 600 /dev/stdin "$root$kdc/kadm5.acl"
    cat >"$root/usr/lib/kpropctl-lab/rhel.conf" <<END
[realms]
$(for realm in LAB.TEST KPROPCTL.INVALID; do
    printf '    %s = {\n        database_name = %s\n        acl_file = %s\n        key_stash_file = %s\n    }\n' \
        "$realm" "$kdc/principal" "$kdc/kadm5.acl" "$kdc/.k5.$realm"
done)
END
    cat >"$root/etc/environment" <<END
KRB5_CONFIG=/etc/krb5.conf:/usr/lib/kpropctl-lab/rhel.conf
KRB5_KDC_PROFILE=$kdc/kdc.conf
END
    { echo "[Manager]"; sed 's/^/DefaultEnvironment=/' "$root/etc/environment"; } \
        >"$root/etc/systemd/system.conf.d/lab.conf"
    mv "$root/usr/sbin/kpropd" "$root/usr/lib/kpropctl-lab/kpropd"
    cat >"$root/usr/sbin/kpropd" <<END
#!/bin/bash
exec -a /usr/sbin/kpropd /usr/lib/kpropctl-lab/kpropd -a $kdc/kpropd.acl -f $kdc/from_master "\$@"
END
    chmod 755 "$root/usr/sbin/kpropd"
}

layers_rhel_unit()
{
    cat <<EOF2
[Unit]
Description=$2
Wants=network-online.target
After=syslog.target network.target network-online.target

[Service]
Type=forking
${5:+$5
}EnvironmentFile=-/etc/sysconfig/$1
ExecStart=/usr/sbin/$4 \$$3

[Install]
WantedBy=multi-user.target
EOF2
}

layers_rhel_krb5_conf()
{
    cat <<'EOF2'
# To opt out of the system crypto-policies configuration of krb5, remove the
# symlink at /etc/krb5.conf.d/crypto-policies which will not be recreated.
includedir /etc/krb5.conf.d/

[logging]
    default = FILE:/var/log/krb5libs.log
    kdc = FILE:/var/log/krb5kdc.log
    admin_server = FILE:/var/log/kadmind.log

[libdefaults]
    dns_lookup_realm = false
    ticket_lifetime = 24h
    renew_lifetime = 7d
    forwardable = true
    rdns = false
#    default_realm = EXAMPLE.COM

[realms]
# EXAMPLE.COM = {
#     kdc = kerberos.example.com
#     admin_server = kerberos.example.com
# }

[domain_realm]
# .example.com = EXAMPLE.COM
# example.com = EXAMPLE.COM
EOF2
}
