"""What conf/monitoring brings, and what check and report write, held against the real tools."""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import wait_until
from setup_kit import set_up

NEEDS = {
    "python3": "test_node_exporter_scrapes_the_file",
    "prometheus-node-exporter": "test_node_exporter_scrapes_the_file",
}
MACHINE_NEEDS = {
    "prometheus": "test_prometheus_rules",
    "nagios4-core": "test_nagios_takes_the_definitions",
    "icinga2-bin": "test_icinga_takes_the_definitions",
    "icinga2-common": "test_icinga_takes_the_definitions",
    "chromium": "test_report_in_a_browser",
}

MONITORING = Path(__file__).resolve().parents[2] / "conf" / "monitoring"


def run(*command, cwd=None, input=None):
    return subprocess.run([str(word) for word in command], cwd=cwd, input=input, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)


@pytest.fixture
def folder():
    """One that the monitoring's own user may read and write."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o777)
        for file in MONITORING.iterdir():
            shutil.copy(file, path)
        yield path


def test_prometheus_rules():
    done = run("promtool", "check", "rules", MONITORING / "prometheus-rules.yml")
    assert done.returncode == 0, done.stdout
    done = run("promtool", "test", "rules", "prometheus-rules.test.yml", cwd=MONITORING)
    assert done.returncode == 0, done.stdout


def test_nagios_takes_the_definitions(folder):
    (folder / "main.cfg").write_text(f"""
log_file={folder}/log
check_result_path={folder}
object_cache_file={folder}/cache
status_file={folder}/status
command_file={folder}/cmd
lock_file={folder}/lock
temp_file={folder}/temp
cfg_file={folder}/nagios.cfg
cfg_file={folder}/objects.cfg
""")
    (folder / "objects.cfg").write_text("""
define timeperiod {
    timeperiod_name 24x7
    alias always
    monday 00:00-24:00
}
define command {
    command_name notify
    command_line /bin/true
}
define contact {
    contact_name root
    host_notification_commands notify
    service_notification_commands notify
    host_notification_period 24x7
    service_notification_period 24x7
}
define host {
    host_name kdc1.lab.test
    address 127.0.0.1
    max_check_attempts 3
    contacts root
}
define service {
    use kpropctl-service
    host_name kdc1.lab.test
    service_description KDC replication
    check_command check_kpropctl!10
    contacts root
}
""")
    done = run("nagios4", "-v", folder / "main.cfg")
    assert done.returncode == 0 and "Total Errors:   0" in done.stdout, done.stdout


def test_icinga_takes_the_definitions(folder):
    (folder / "main.conf").write_text(f"""
include <itl>
include "{folder}/icinga2.conf"
object Endpoint NodeName {{ }}
object Zone "here" {{ endpoints = [ NodeName ] }}
object CheckCommand "alive" {{ command = [ "/bin/true" ] }}
object Host "kdc1.lab.test" {{
  check_command = "alive"
  vars.kerberos_primary = true
}}
""")
    done = run("icinga2", "daemon", "-C", "-c", folder / "main.conf", "-D", f"DataDir={folder}",
               "-D", f"CacheDir={folder}", "-D", f"LogDir={folder}")
    assert done.returncode == 0, done.stdout
    assert re.search(r"Instantiated 2 Services", done.stdout), done.stdout


@pytest.fixture
def checked(kdc1, kdc2):
    """A primary with a good replica."""
    set_up(kdc1, kdc2).good()
    return kdc1


def test_metrics(checked):
    text = checked.run("kpropctl", "check", "--format", "prometheus", check=False).stdout
    done = run("promtool", "check", "metrics", input=text)
    assert done.returncode == 0 and done.stdout == "", (done.stdout, text)
    assert re.search(r'^kpropctl_check_status\{realm="LAB.TEST",host="kdc2.lab.test",check="ticket"\} 0$', text,
                     re.MULTILINE), text


def test_node_exporter_scrapes_the_file(checked):
    # Its package starts one.
    checked.systemctl("stop", "prometheus-node-exporter")
    checked.run("mkdir", "-p", "/tmp/textfile")
    checked.run("kpropctl", "check", "--format", "prometheus", "--output", "/tmp/textfile/kpropctl.prom",
                check=False)
    exporter = checked.start("prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                             "--collector.textfile.directory=/tmp/textfile", "--web.listen-address=127.0.0.1:9101")
    try:
        scrape = ("import urllib.request as u; "
                  "print(u.urlopen('http://127.0.0.1:9101/metrics', timeout=60).read().decode())")
        told = wait_until(lambda: checked.run("/usr/bin/python3", "-c", scrape, check=False).stdout)
        assert 'kpropctl_host_status{host="kdc2.lab.test",realm="LAB.TEST"} 0' in told, told
        assert "node_textfile_scrape_error 0" in told, told
    finally:
        exporter.terminate()
        exporter.wait(60)


def test_report_in_a_browser(checked, kdc2, tmp_path):
    kdc2.systemctl("stop", "krb5-kdc")
    assert checked.run("kpropctl", "report", "--output", "/tmp/report.html", check=False).returncode == 2
    page = tmp_path / "report.html"
    page.write_text(checked.read("/tmp/report.html"))
    assert not re.search(r"(src|href)=|url\(|<script|@import", page.read_text())
    common = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
              "--disable-background-networking", "--disable-component-update", "--disable-sync",
              f"--user-data-dir={tmp_path}/profile"]
    done = run(*common, "--dump-dom", f"file://{page}")
    assert "KDC replication of LAB.TEST" in done.stdout, done.stdout
    assert "krb5kdc does not run on kdc2.lab.test" in done.stdout, done.stdout
    for width in (360, 1400):
        shot = tmp_path / f"{width}.png"
        run(*common, f"--window-size={width},1200", f"--screenshot={shot}", f"file://{page}")
        assert shot.stat().st_size > 20000
