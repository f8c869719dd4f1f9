# The realm LAB.TEST: its database, stash and keytabs are made before the hosts are up. Sourced by labkit/ground.
# Master password: 'master'. Users with a password, 'NAME-password': alice, bob, admin/admin.
# shellcheck shell=bash

# realm_create FOLDER PRINCIPALS HOSTS ROOT: the first host of the file HOSTS is the primary; ROOT is its root, whose
# programs make the realm. Nobody has heard of the bare ones, but as clients of the realm will one day look for them.
realm_create()
{
    local folder=$1 principals=$2 root=$4 few=1000 host all known i
    mkdir -p "$folder"
    mapfile -t all < <(awk '{print $2}' "$3")
    realm_krb5_conf "${all[@]}" >"$folder/krb5.conf"
    mapfile -t known < <(awk '"+" $3 "+" !~ /[+]bare[+]/ {print $2}' "$3")
    set -- "${known[@]}"
    realm_kdc_conf /mnt /mnt >"$folder/kdc.conf"
    mount --bind "$folder" "$root/mnt"
    realm_run kdb5_util create -s -P master -r LAB.TEST >/dev/null
    {
        for i in 1 2 3 4 5; do
            echo "addpol -minlength $((i + 5)) -maxlife ${i}00days -history $i policy$i"
        done
        echo "addprinc -pw admin-password admin/admin"
        echo "addprinc -pw alice-password -policy policy1 alice"
        echo "addprinc -pw bob-password bob"
        for host; do
            echo "addprinc -randkey host/$host"
            echo "ktadd -q -k /mnt/keytab.$host host/$host"
        done
        for ((i = 1; i <= principals && i <= few; i++)); do
            echo "addprinc -randkey -policy policy$((i % 5 + 1)) user$i"
        done
    } | realm_run kadmin.local >"$folder/log" 2>&1
    [ "$principals" -le "$few" ] || realm_grow "$folder" "$((principals - few))"
    umount "$root/mnt"
    for host; do
        [ -s "$folder/keytab.$host" ] || { cat "$folder/log" >&2; return 1; }
    done
}

# realm_run COMMAND…: in the primary's $root, on the realm that is being made.
realm_run()
{
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 KRB5_CONFIG=/mnt/krb5.conf KRB5_KDC_PROFILE=/mnt/kdc.conf \
        chroot "$root" "$@"
}

# realm_grow FOLDER COUNT: more users than is comfortable one by one, bulk0000000 and so on, all with the key of user1.
realm_grow()
{
    local folder=$1 count=$2
    realm_run kdb5_util dump /mnt/small
    /usr/bin/python3 "$here/../lib/make_dump.py" "$folder/small" "$folder/large" \
        --principals "$count" --like user1 --keys copy
    realm_run kdb5_util load /mnt/large
    rm "$folder"/{small,large}{,.dump_ok} 2>/dev/null || :
}

realm_krb5_conf()
{
    local host
    cat <<EOF
[libdefaults]
    default_realm = LAB.TEST
    dns_lookup_realm = false
    dns_lookup_kdc = false

[realms]
    LAB.TEST = {
EOF
    for host; do
        echo "        kdc = $host"
    done
    cat <<EOF
        admin_server = $1
    }

[domain_realm]
    .lab.test = LAB.TEST
EOF
}

# realm_kdc_conf DATABASE-FOLDER STASH-FOLDER
realm_kdc_conf()
{
    cat <<EOF
[kdcdefaults]
    kdc_ports = 750,88

[realms]
    LAB.TEST = {
        database_name = $1/principal
        acl_file = /etc/krb5kdc/kadm5.acl
        key_stash_file = $2/stash
        max_life = 10h 0m 0s
        max_renewable_life = 7d 0h 0m 0s
        default_principal_flags = +preauth
    }
EOF
}

# realm_give FOLDER ROOT HOST KIND: what a host has of the realm. Only the primary has the database; a replica has what
# an administrator copies by hand: configuration, stash and keytab; a bare host has nothing.
realm_give()
{
    local folder=$1 root=$2 host=$3
    case +$4+ in
        *+bare+*) return ;;
        *+rhel+*) realm_give_rhel "$@"; return ;;
    esac
    mkdir -p "$root/etc/krb5kdc" "$root/var/lib/krb5kdc"
    chmod 700 "$root/etc/krb5kdc" "$root/var/lib/krb5kdc"
    install -m 644 "$folder/krb5.conf" "$root/etc/krb5.conf"
    realm_kdc_conf /var/lib/krb5kdc /etc/krb5kdc >"$root/etc/krb5kdc/kdc.conf"
    install -m 600 "$folder/stash" "$root/etc/krb5kdc/stash"
    install -m 600 "$folder/keytab.$host" "$root/etc/krb5.keytab"
    echo '*/admin@LAB.TEST *' >"$root/etc/krb5kdc/kadm5.acl"
    case $host in
        kdc1.*) cp -p "$folder"/principal* "$root/var/lib/krb5kdc/" ;;
    esac
}

# The same where RHEL has it, the realm behind what RHEL's krb5.conf begins with.
realm_give_rhel()
{
    local folder=$1 root=$2 host=$3 kdc=$2/var/kerberos/krb5kdc
    sed '/^.libdefaults/,$d' "$root/etc/krb5.conf" | cat - "$folder/krb5.conf" >"$root/etc/krb5.conf.new"
    mv "$root/etc/krb5.conf.new" "$root/etc/krb5.conf"
    sed -i 's/EXAMPLE.COM/LAB.TEST/; /dict_file/a\        default_principal_flags = +preauth' "$kdc/kdc.conf" "$kdc/kadm5.acl"
    install -m 600 "$folder/stash" "$kdc/.k5.LAB.TEST"
    install -m 600 "$folder/keytab.$host" "$root/etc/krb5.keytab"
    case $host in
        kdc1.*) cp -p "$folder"/principal* "$kdc/" ;;
    esac
}
