# shellcheck shell=bash
# Sourced by up, down and ctl: where everything is, and how a process is started, watched and ended.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA=${LAB_DIR:-$HERE/../../../target/openstack}
mkdir -p "$DATA"/{conf,logs,pids,tmp,rabbit,nova}
DATA=$(cd "$DATA" && pwd)
CONF=$DATA/conf LOGS=$DATA/logs PIDS=$DATA/pids

BASE=${LAB_PORT_BASE:-26000}
# Where the interfaces of OpenStack listen. What stands behind them stays on 127.0.0.1.
HOST=${LAB_HOST:-127.0.0.1}
KEYSTONE_PORT=$BASE HEAT_PORT=$((BASE + 4)) NOVA_PORT=$((BASE + 74)) DB_PORT=$((BASE + 306))
KEYSTONE_DB_PORT=$((BASE + 307)) HEAT_DB_PORT=$((BASE + 308))
RABBIT_PORT=$((BASE + 672)) RABBIT_DIST_PORT=$((BASE + 673)) EPMD_PORT=$((BASE + 369))
# `none`: the catalogue has no DCS.
DCS_URL=${DCS_URL:-http://127.0.0.1:$((BASE + 90))}
KEYSTONE_URL=http://$HOST:$KEYSTONE_PORT/v3
# The same Keystone behind a certificate of its own, $CONF/tls.crt.
TLS_PORT=$((BASE + 443))
TLS_URL=https://127.0.0.1:$TLS_PORT/v3
# Heat's own defaults are 60 seconds each: an hour for what takes ten minutes.
REPORT_INTERVAL=10 RPC_TIMEOUT=10

PYTHON=/usr/bin/python3 # Debian's, which has Debian's packages
export PYTHONWARNINGS=ignore PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
unset PYTHONPATH PYTHONHOME OS_CLOUD http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

say() { echo "lab: $*" >&2; }

# The kernel's start time of a process, which tells it from a later one with the same id. A zombie is gone.
started() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra stat <<<"${stat##*) }"
  [ "${stat[0]}" != Z ] && echo "${stat[19]}"
}
alive() {
  local pid since
  [ -s "$PIDS/$1" ] && read -r pid since <"$PIDS/$1" && [ -n "$since" ] && [ "$(started "$pid")" = "$since" ]
}
pid_of() { cut -d' ' -f1 "$PIDS/$1"; }
run() { # NAME COMMAND...: as the leader of a session, so that a signal reaches its children too
  local name=$1 pid
  shift
  alive "$name" && return
  setsid "$@" >>"$LOGS/$name.out" 2>&1 </dev/null &
  pid=$!
  sleep 0.05
  echo "$pid $(started $pid)" >"$PIDS/$name"
}
signal() { alive "$2" && kill "-$1" -- "-$(pid_of "$2")" 2>/dev/null; }
end() { # NAME SIGNAL: waits until it is gone; what does not go within half a minute is killed
  local n=0
  if alive "$1"; then
    signal "$2" "$1"
    while alive "$1" && [ $((n++)) -lt 300 ]; do sleep 0.1; done
    kill -KILL -- "-$(pid_of "$1")" 2>/dev/null
  fi
  rm -f "$PIDS/$1"
}
until_true() { # SECONDS WHAT COMMAND...
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || { say "no $what; the logs are in $LOGS"; return 1; }
    sleep 0.2
  done
}
sql() { mariadb --no-defaults -uroot -S "$DATA/mysql.sock" -N "$@"; }
answers() { # PORT [PATH]: any answer of HTTP will do
  curl -s -m 5 -o "$DATA/tmp/answer" "http://$HOST:$1${2:-/}"
}
