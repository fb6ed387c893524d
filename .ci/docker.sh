# Sourced by .ci/run: a Docker daemon with its compose and buildx plugins, from Debian's packages alone.

daemon_pid=

docker_answers() { docker version >/dev/null 2>&1; }

# What is missing of the packages named; needs root and apt. Says what it lacks, and fails, where it cannot.
install_packages() {
  local package missing=()
  for package in "$@"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  can_install || { echo "not installed, for want of root or apt: ${missing[*]}" >&2; return 1; }
  echo "Installing ${missing[*]}."
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o DPkg::Lock::Timeout=300 update &&
    apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >/dev/null
}

can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

# Everything that the tests of containers need; 1 where it cannot be had.
ensure_docker() {
  if ! command -v docker >/dev/null || ! docker_answers; then
    install_packages docker.io iptables || return 1
  fi
  if can_install; then install_packages debootstrap || return 1; fi # for a base image where no registry answers
  if ! docker compose version >/dev/null 2>&1 || ! docker buildx version >/dev/null 2>&1; then
    install_plugins || return 1
  fi
  docker_answers || start_daemon
}

# Debian 12 has neither plugin: those of the next release are single files that run here.
install_plugins() {
  can_install || { echo "not installed, for want of root or apt: docker compose, docker buildx" >&2; return 1; }
  local folder plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
  folder=$(mktemp -d)
  echo "Installing docker compose and docker buildx from Debian trixie into $plugins."
  download_from_trixie "$folder" docker-compose docker-buildx && unpack_plugins "$folder" "$plugins"
  rm -rf "$folder"
  docker compose version && docker buildx version
}

download_from_trixie() { # FOLDER PACKAGE...: with lists of its own, so that nothing else here ever comes from trixie
  local folder=$1 mirror
  shift
  # shellcheck disable=SC2016 # apt's own placeholder
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
  mkdir -p "$folder/lists" "$folder/archives"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} trixie main" \
    >"$folder/sources.list"
  local apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o APT::Sandbox::User=root)
  (cd "$folder" && "${apt[@]}" update && "${apt[@]}" download "$@")
}

unpack_plugins() { # FOLDER PLUGINS
  local package
  for package in "$1"/*.deb; do dpkg -x "$package" "$1/root" || return 1; done
  mkdir -p "$2"
  find "$1/root" -path '*/cli-plugins/*' -type f -exec install -m 755 -t "$2" {} +
}

# JETSMITH_DOCKERD_OPTIONS: more options for the daemon, where a machine needs them.
start_daemon() {
  [ "$(id -u)" -eq 0 ] || { echo "no Docker daemon answers, and only root can start one" >&2; return 1; }
  if ! grep -Eqs ' cgroup2? ' /proc/self/mounts; then # systemd mounts them; without it nobody did
    install_packages cgroupfs-mount && cgroupfs-mount || return 1
  fi
  local log
  log=$(mktemp)
  echo "Starting dockerd; its log is $log."
  # shellcheck disable=SC2086 # several words are meant
  dockerd ${JETSMITH_DOCKERD_OPTIONS:-} >"$log" 2>&1 &
  daemon_pid=$!
  for _ in $(seq 60); do
    docker_answers && return
    sleep 1
  done
  echo "dockerd did not start:" >&2
  tail -n 20 "$log" >&2
  return 1
}

# Only the one that was started here.
stop_daemon() {
  [ -z "$daemon_pid" ] && return
  kill "$daemon_pid" 2>/dev/null || true
  wait "$daemon_pid" 2>/dev/null || true
}
