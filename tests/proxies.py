"""What stands between and beside several processes of the application: nginx, and a Redis that comes and goes."""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from servers import free_port, program_of, run_redis, started, wait_for_port

CONFIG = """
daemon off;
pid {folder}/pid;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    # A request without Upgrade asks for the connection to be closed, one with it for the change.
    map $http_upgrade $connection_header {{ default upgrade; '' close; }}
    upstream app {{
{upstream}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_header;
            proxy_read_timeout 75s;
        }}
{locations}
    }}
}}
"""
# Long polling needs every request to reach the same process; by turns it could only fail, and at times wouldn't.
NO_POLLING = """        location ~ ^/(socket\\.io|ws/chat)/ {{
            if ($http_upgrade = '') {{ return 400; }}
            {proxying}
        }}"""


@dataclass
class RunningProxy:
    url: str
    port: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
