#!/usr/bin/env bash
# Installs the grader where it lies: its packages into .venv, and bubblewrap, in which answers run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
as_root=$([ "$(id -u)" = 0 ] || echo sudo)

$as_root apt-get update -q
$as_root apt-get install -y -q bubblewrap python3-pip python3-venv
# Ubuntu 24.04 keeps bubblewrap from working; in a container this cannot be set, and the grader says what is not protected
$as_root sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0 || true

if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python3 -m venv "$here/.venv"
else # Ubuntu 22.04 has Python 3.10
    python3 -m pip install -q uv
    UV_PYTHON_INSTALL_DIR="$here/.python" python3 -m uv venv -q --seed --managed-python --python 3.12 "$here/.venv"
fi
# PyTorch's CPU builds: on Linux, those of PyPI hold several gigabytes for CUDA
"$here/.venv/bin/python" -m pip install -q torch torchvision --index-url https://download.pytorch.org/whl/cpu
"$here/.venv/bin/python" -m pip install -q -e "$here[grade]"
