# What this machine needs beyond a bare Debian 12, and how it gets there. Sourced by tests/lab and tests/run.
# Installing starts and enables nothing: the services of these packages run inside the lab's hosts only.
# shellcheck shell=bash

as_root=$([ "$(id -u)" = 0 ] || echo sudo)

packages_to_build="gcc clang cmake ninja-build pkg-config dpkg-dev file git clang-format libcmocka-dev
    libkrb5-dev libev-dev libmnl-dev libjansson-dev libsqlite3-dev libsystemd-dev libssl-dev"
packages_to_test="python3 python3-pytest python3-jsonschema python3-pytest-xdist mandoc prometheus prometheus-node-exporter nagios4-core
    icinga2-bin icinga2-common chromium"
packages_of_the_lab="python3 netbase systemd systemd-container systemd-sysv dbus iproute2 util-linux
    krb5-kdc krb5-admin-server krb5-kpropd krb5-user libkdb5-10 libev4 libmnl0 libjansson4 libsqlite3-0
    remctl-client python3-pyremctl faketime openssh-client strace lsof net-tools procps psmisc netcat-openbsd"

# packages_missing PACKAGE... : those of them that are not installed.
packages_missing()
{
    local package
    for package; do
        dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
    done
}

# units_enabled: the units that would start at this machine's next boot.
units_enabled()
{
    command -v systemctl >/dev/null || return 0
    systemctl --root=/ list-unit-files --state=enabled --no-legend 2>/dev/null | awk '{print $1}' | sort
}

# packages_install PACKAGE... : install those that are missing, without starting or enabling what they bring.
packages_install()
{
    local missing policy=/usr/sbin/policy-rc.d before own_policy='' status=0
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    echo "installing" $missing
    before=$(units_enabled)
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
    fi
    # A machine that never looked knows no packages; one that looked long ago may know too old ones.
    [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit)" ] || apt_get update
    apt_get install --yes --no-install-recommends $missing 2>/dev/null ||
        { apt_get update && apt_get install --yes --no-install-recommends $missing; } || status=1
    [ -z "$own_policy" ] || $as_root rm -f "$policy"
    comm -13 <(echo "$before") <(units_enabled) |
        xargs --no-run-if-empty $as_root systemctl disable --quiet 2>/dev/null
    return "$status"
}

# What apt-get says is shown when it fails.
apt_get()
{
    local log status
    log=$(mktemp)
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1
    status=$?
    [ "$status" = 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}
