# Sourced by the other scripts: one virtual environment, .venv, made once and brought up to date when needed.
# JETSMITH_PYTHON names another interpreter than python3.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

fail() { # what, what to do next
  printf 'error: %s\nhint:  %s\n' "$1" "$2" >&2
  exit 1
}

# ensure_venv EXTRAS: an environment with jetsmith and these extras; does nothing when it is there already.
ensure_venv() {
  local python=${JETSMITH_PYTHON:-python3} extras=$1 stamp
  command -v "$python" >/dev/null || fail "$python was not found" "Install Python 3.10 to 3.12, or set JETSMITH_PYTHON."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$python" --version) is too old" "jetsmith needs Python 3.10 or newer; set JETSMITH_PYTHON to one."
  # PyTorch and TensorRT publish nothing for a new Python for months: whoever has it all the same may name it.
  [ -n "${JETSMITH_PYTHON:-}" ] || "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))' ||
    fail "$("$python" --version) is newer than the libraries that jetsmith needs" "Install Python 3.10 to 3.12 and set JETSMITH_PYTHON to it (JETSMITH_PYTHON=python3.12), or to $python to try it all the same."
  if [ ! -x .venv/bin/pip ]; then
    "$python" -m venv .venv || fail "the virtual environment could not be made" "On Debian and Ubuntu: sudo apt install python3-venv"
  fi
  stamp=$(cat pyproject.toml config/constraints.txt | sha256sum | cut -c1-16)
  local extra missing=()
  for extra in ${extras//,/ }; do
    [ -e ".venv/.has-$extra-$stamp" ] || missing+=("$extra")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ ! -e .venv/.has-convert-"$stamp" ] && [[ ,$extras, == *,convert,* ]]; then
    echo "Installing jetsmith with PyTorch and Ultralytics into .venv: some minutes and up to 6 GB, once."
  else
    echo "Installing jetsmith [$extras] into .venv."
  fi
  .venv/bin/pip install --quiet --disable-pip-version-check -c config/constraints.txt -e ".[$extras]" ||
    fail "pip could not install jetsmith" "The lines above say why. Run the command again when the package index can be reached."
  # trackers brings OpenCV's GUI build, which lies over the headless one and wants libraries of a desktop.
  if .venv/bin/pip show --quiet opencv-python 2>/dev/null; then
    .venv/bin/pip install --quiet --disable-pip-version-check -c config/constraints.txt --force-reinstall --no-deps opencv-python-headless ||
      fail "pip could not put OpenCV's headless build back" "Run the command again when the package index can be reached."
  fi
  for extra in ${extras//,/ }; do touch ".venv/.has-$extra-$stamp"; done
}
