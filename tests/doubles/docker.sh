#!/usr/bin/env bash
# A `docker` whose images are files of the folder $DOCKER_DOUBLE, named after them and holding their ids. It writes down
# what it was told in `told`. Files there that change it: arch, l4t, weights, no-compose, broken-load, broken-save, containerd.
set -euo pipefail
cd_back=$PWD
cd "$DOCKER_DOUBLE"
echo "$*" >>told

of_image() { # FORMAT NAME
  [ -f "images/$2" ] || { echo "Error: No such image: $2" >&2; exit 1; }
  case $1 in
    '{{.Id}}') if [ -e containerd ]; then sha256sum <"images/$2" | sed 's/^/sha256:/; s/  -$//'; else cat "images/$2"; fi ;;
    '{{.Architecture}}') cat arch ;;
    '{{.Size}}') echo 1000000 ;;
    *version*) echo 0.1.0 ;;
    *revision*) echo abc123 ;;
    *) echo "facts $(cat "images/$2")" ;;
  esac
}

compose() {
  case "$*" in
    version) [ ! -e no-compose ] ;;
    *"config --images") printf '%s\n' jetsmith-infer:cpu jetsmith-converter:cpu ;;
    *" config") case "$*" in
        *" run "*) echo "vision.yolo.model_source.pt_model_path: /opt/jetsmith/models/$(cat weights)" ;;
        *) printf '%s\n' "    L4T_RELEASE: $(cat l4t)" "      JETSMITH_CONFIG: /${JETSMITH_CONFIG:-config/demo.yaml}" ;;
      esac ;;
    *--download-only*) case "$*" in *--model*) name=${!#}.pt ;; *) name=$(cat weights) ;; esac
      echo "downloaded $name" >"$cd_back/models/$name" ;;
  esac
}

case $1 in
  version) cat arch ;;
  info) case $3 in *Runtimes*) echo '{"nvidia":{}}' ;; *) echo /nowhere ;; esac ;;
  compose) shift; compose "$@" ;;
  image) case $3 in
      --format) for name in "${@:5}"; do of_image "$4" "$name"; done ;;
      *) of_image all "$3" ;;
    esac ;;
  save) [ ! -e broken-save ] || { echo "Error: no space left" >&2; exit 1; }
    for name in "${@:2}"; do echo "$name $(cat "images/$name")"; done ;;
  load) gunzip -c "${!#}" | while read -r name id; do
      if [ -e broken-load ]; then id=sha256:$(printf 0%.0s {1..64}); fi
      echo "$id" >"images/$name"
    done ;;
  *) echo "docker double: $*" >&2; exit 125 ;;
esac
