# What kinds of hosts are made of: the steps of their roots (labkit/roots.sh), and what the words do that change files.
# A kind is made of these words, joined by '+': primary, replica (or neither: a replica), bare, agent, ssh, rhel,
# sysvinit. Sourced by tests/lab, labkit/makeroot and labkit/ground.
# shellcheck shell=bash

layers_words="primary replica bare agent ssh rhel sysvinit"

# layers_known KIND: whether all its words are ours.
layers_known()
{
    local word
    for word in ${1//+/ }; do
        case " $layers_words " in *" $word "*) ;; *) return 1 ;; esac
    done
}

# layers_steps KIND [PACKAGE…]: the steps of a host of that kind, with packages beyond those of its role.
layers_steps()
{
    local kind=+$1+
    shift
    echo base
    case $kind in
        *+rhel+*) roots_apt_step $packages_of_rhel ;;
        *+primary+*) roots_apt_step $packages_of_a_primary ;;
        *) roots_apt_step $packages_of_a_replica ;;
    esac
    case $kind in *+rhel+*) echo rhel ;; esac
    case $kind in *+sysvinit+*) echo sysvinit ;; esac
    case $kind in *+ssh+*) roots_apt_step $packages_of_ssh ;; esac
    roots_apt_step "$@"
}

# layers_packages WORD: what its maker installs.
layers_packages()
{
    case $1 in
        sysvinit) echo $packages_of_sysvinit ;;
    esac
}

# systemd's package stays, as it does where something depends on it; what is gone is its claim to be pid 1. Nothing of
# a machine's hardware and disks is for a host of the lab to check, mount or set.
layers_make_sysvinit()
{
    local root=$1 script
    # With whatever cannot be without it; apt 3 wants to be told.
    roots_apt "$root" install --yes --no-install-recommends --allow-remove-essential $(layers_packages sysvinit) \
        systemd-sysv-
    echo '*.* -/var/log/syslog' >"$root/etc/syslog.conf"
    for script in checkroot.sh checkroot-bootclean.sh checkfs.sh mountall.sh mountall-bootclean.sh mountkernfs.sh \
        mountdevsubfs.sh mountnfs.sh mountnfs-bootclean.sh hwclock.sh hostname.sh urandom procps udev bootlogs \
        umountfs umountroot umountnfs.sh brightness kmod motd dbus; do
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
    roots_chroot "$root" update-rc.d lab-ready defaults
}

# RHEL's names and places (krb5.spec and its units), with Debian's programs. What RHEL compiles in comes here from the
# environment of every service and login: where kdc.conf is, and as the last of KRB5_CONFIG's files, which counts least,
# a file with RHEL's defaults (KPROPCTL.INVALID is the realm that common/krb5/realm.c asks for them by). kpropd heeds neither
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
