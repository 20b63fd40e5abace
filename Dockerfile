FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

# Apart from the code, so that a change of code does not install everything anew.
COPY requirements.txt .
RUN pip install --disable-pip-version-check --require-hashes -r requirements.txt

COPY . .
# Else every start compiles: 0.6 s on a fast machine.
RUN python -m compileall -q config.py wsgi.py idyll
# instance/ holds the development database; nothing else is ever written.
RUN useradd --system --no-create-home idyll && mkdir instance && chown idyll instance
USER idyll

EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD python -c \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8000)}/healthz', timeout=2)"
CMD ["gunicorn", "wsgi:app"]
