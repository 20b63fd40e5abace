"""What stands between and beside several processes of the application: nginx, and a Redis that comes and goes."""

import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import free_port, program_of, run_redis, started, wait_for_port

CONFIG = """
daemon off;
pid {folder}/pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_header {{ default upgrade; '' {connection}; }}
    map $http_upgrade:$uri $polling {{ default 0; '~^:/(socket\\.io|ws/chat)/' {refused}; }}
    upstream app {{
        {upstream}
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_header;
        proxy_read_timeout 75s;
        location / {{
            if ($polling) {{ return 400; }}
            proxy_pass http://app;
        }}
    }}
}}
"""


@dataclass
class RunningProxy:
    """nginx in front of several processes, by turns."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start_nginx(
    ports: Sequence[int], *, websocket_only: bool = False, standby: bool = False, kept: int = 0
) -> RunningProxy:
    """HTTP and WebSockets to these ports by turns; the one that is away is passed over.

    With `standby` all go to the first, and to the others only when it is away.

    Long polling needs all requests of a socket at one process, so by turns it cannot work; with `websocket_only` it is
    refused at once. `kept` connections to them stay open between requests.
    """
    folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=started().folder))
    port = free_port()
    # max_fails=0: who comes back is asked again at once, not after nginx's usual 10 s.
    backup = {one: " backup" for one in ports[1:] if standby}
    upstream = " ".join(f"server 127.0.0.1:{one} max_fails=0{backup.get(one, '')};" for one in ports)
    config = folder / "nginx.conf"
    if kept:
        upstream += f" keepalive {kept};"
    names = {"folder": folder, "port": port, "upstream": upstream, "refused": int(websocket_only)}
    config.write_text(CONFIG.format(**names, connection="''" if kept else "close"))
    user = {}
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    log = folder.with_suffix(".log")
    command = [program_of("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)]
    process = started().run(command, log=log, with_children=True, cwd="/", **user)
    wait_for_port(port, process, log)
    return RunningProxy(f"http://127.0.0.1:{port}", port, process, log)


class OwnRedis:
    """A Redis for one test, to be stopped and started again at the same address."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Empty, as after a crash; or goes on, if it had fallen silent."""
        if self.process is None:
            self.process = run_redis(self.port)
        else:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(10)
            self.process = None

    def fall_silent(self) -> None:
        """It still takes connections, and answers nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def restart(self) -> None:
        self.stop()
        self.start()
