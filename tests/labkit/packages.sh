# Every package that this project's builds, tests and hosts are made of, by where it goes; and how this machine gets
# its own. Sourced by tests/lab, tests/run, tests/packages and tests/fresh. Names that differ between releases are
# avoided: what a program of ours is linked with, its package's own Depends says.
# What one file of tests needs on its hosts beyond these lists stands there (NEEDS).
# shellcheck shell=bash

as_root=$([ "$(id -u)" = 0 ] || echo sudo)

# This machine. The lab: makes roots, boots them, joins them.
packages_of_the_lab="systemd-container mmdebstrap iproute2 util-linux procps"
# The builds and unit tests of tests/run; the unit tests make throw-away realms.
packages_to_build="gcc clang cmake ninja-build pkg-config git clang-format shellcheck libcmocka-dev
    libkrb5-dev libev-dev libmnl-dev libjansson-dev libsqlite3-dev libsystemd-dev libssl-dev"
packages_of_unit_tests="python3 krb5-kdc krb5-admin-server krb5-kpropd krb5-user remctl-client strace"
# The tests on hosts and the checks of the documents, which run here and look at what hosts say.
packages_to_test="python3 python3-pytest python3-jsonschema python3-pytest-xdist mandoc prometheus nagios4-core
    icinga2-bin icinga2-common chromium"

# Roots of a release. What every host has:
packages_of_hosts="systemd-sysv dbus iproute2 netbase procps"
# and by its role:
packages_of_a_primary="krb5-admin-server krb5-user"
packages_of_a_replica="krb5-kdc krb5-kpropd krb5-user"
packages_of_rhel="krb5-kdc krb5-admin-server krb5-kpropd krb5-user"
packages_of_sysvinit="sysvinit-core inetutils-syslogd"
packages_of_ssh="openssh-server"
packages_of_ssh_client="openssh-client"
# Where our packages are built:
packages_of_builds="gcc ccache cmake ninja-build pkg-config dpkg-dev file libkrb5-dev libev-dev libmnl-dev libjansson-dev
    libsqlite3-dev libsystemd-dev libssl-dev"

# STRIKE="PACKAGE…" leaves them out of every list above: tests/fresh must notice it.
for word in ${STRIKE:-}; do
    for list in ${!packages_*}; do
        printf -v "$list" '%s' "$(printf '%s\n' ${!list} | grep -vxF -- "$word" | paste -s -d ' ')"
    done
done
unset word list

# packages_missing PACKAGE... : those of them that are not installed. A name may have become a virtual one (…t64).
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
