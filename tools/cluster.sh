#!/usr/bin/env bash
# Runs a small real installation on this machine, to try what docs/operate.md says: three
# etcd members, two replicas of `breakwaterd serve`, and an agent in each of three data
# centers. Everything listens on loopback; state is in one directory, and started again
# there, everything is as it was. It ends with Ctrl-C. To try a failure, kill one of the
# printed process IDs, and look.
#
#   tools/cluster.sh [directory]          (default: ./breakwater-cluster)
#   RESTART=1 tools/cluster.sh            starts a process that ended again, as a supervisor would
#   PORT=20000 tools/cluster.sh           uses other ports than those from 18000
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-./breakwater-cluster}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
bin=$dir/bin
mkdir -p "$bin" "$dir/log"
port=${PORT:-18000} # the first of some forty ports
host=127.0.0.1
etcds=3 replicas=2
data_centers=(AMS NRT SJC)

echo "building into $bin"
go build -o "$bin/" ./controlplane/cmd/breakwaterd ./sdk/cmd/breakwater-edge
go build -o "$bin/etcd" go.etcd.io/etcd/server/v3

declare -A commands pids
start() { # name: starts what commands[name] says
  local words
  eval "words=(${commands[$1]})"
  "${words[@]}" >>"$dir/log/$1.log" 2>&1 &
  pids[$1]=$!
}
stop_all() {
  trap - EXIT INT TERM
  # Data centers and replicas first, etcd last, each by its own ID.
  local name
  for pattern in '*-edge' 'replica-*' 'etcd-*'; do
    for name in "${!pids[@]}"; do
      # shellcheck disable=SC2053 # it is a pattern
      [[ $name == $pattern ]] && kill "${pids[$name]}" 2>/dev/null || true
    done
    for name in "${!pids[@]}"; do
      # shellcheck disable=SC2053
      [[ $name == $pattern ]] && wait "${pids[$name]}" 2>/dev/null || true
    done
  done
}
trap stop_all EXIT
trap 'exit 0' INT TERM
ready() { # name url: waits until it answers, as long as the process lives
  until curl -fs -o /dev/null --cacert "$dir/ca/ca.pem" "$2"; do
    kill -0 "${pids[$1]}" 2>/dev/null || { echo "$1 ended:"; tail -n 5 "$dir/log/$1.log"; exit 1; }
    sleep 0.2
  done
}

# Certificates of an authority of our own, and the key that signs releases.
[[ -f $dir/listener.pem ]] || "$bin/breakwaterd" server-cert --ca-dir "$dir/ca" --host "$host,localhost" --name listener --out "$dir" >/dev/null
for dc in "${data_centers[@]}"; do
  [[ -f $dir/${dc,,}-1.pem ]] || "$bin/breakwaterd" edge-cert --ca-dir "$dir/ca" --dc "$dc" --server "${dc,,}-1" --out "$dir" >/dev/null
done
"$bin/breakwaterd" public-key --signing-key-file "$dir/manifest.key" --out "$dir/trust.pem"
cat >"$dir/fleet.json" <<'FLEET'
[{"code": "AMS", "city": "Amsterdam", "country": "NL", "latitude": 52.31, "longitude": 4.76},
 {"code": "NRT", "city": "Tokyo", "country": "JP", "latitude": 35.76, "longitude": 140.39},
 {"code": "SJC", "city": "San Jose", "country": "US", "latitude": 37.36, "longitude": -121.93}]
FLEET

initial='' endpoints=''
for ((i = 1; i <= etcds; i++)); do
  initial+="${initial:+,}etcd-$i=http://$host:$((port + 10 + i))"
  endpoints+="${endpoints:+,}https://$host:$((port + i))"
done
for ((i = 1; i <= etcds; i++)); do
  commands[etcd-$i]=$(printf '%q ' "$bin/etcd" --name "etcd-$i" --data-dir "$dir/etcd-$i" \
    --initial-cluster "$initial" --initial-cluster-token breakwater \
    --listen-peer-urls "http://$host:$((port + 10 + i))" --initial-advertise-peer-urls "http://$host:$((port + 10 + i))" \
    --listen-client-urls "https://$host:$((port + i))" --advertise-client-urls "https://$host:$((port + i))" \
    --cert-file "$dir/listener.pem" --key-file "$dir/listener.key" --enable-grpc-gateway=false --log-level warn \
    --max-txn-ops=8192 --max-request-bytes=13631488 --quota-backend-bytes=8589934592 \
    --auto-compaction-mode=periodic --auto-compaction-retention=5m)
  start "etcd-$i"
done
for ((i = 1; i <= etcds; i++)); do
  ready "etcd-$i" "https://$host:$((port + i))/readyz"
done

reports=''
for ((i = 1; i <= replicas; i++)); do
  at=$((port + 20 + 4 * i))
  reports+="${reports:+,}$host:$((at + 3))"
  commands[replica-$i]=$(printf '%q ' "$bin/breakwaterd" serve --data-dir "$dir/replica-$i" \
    --http "$host:$at" --grpc "$host:$((at + 1))" --admin "$host:$((at + 2))" --report "$host:$((at + 3))" \
    --tls-cert-file "$dir/listener.pem" --tls-key-file "$dir/listener.key" \
    --report-cert-file "$dir/listener.pem" --report-key-file "$dir/listener.key" --report-client-ca-file "$dir/ca/ca.pem" \
    --operator-token-file "$dir/operator.token" --signing-key-file "$dir/manifest.key" --seal-key-file "$dir/seal.keys" \
    --etcd-endpoints "$endpoints" --etcd-ca-file "$dir/ca/ca.pem" --fleet-file "$dir/fleet.json")
  start "replica-$i"
  # The first one makes the keys that all share.
  ready "replica-$i" "https://$host:$at/readyz"
done
for dc in "${data_centers[@]}"; do
  name=${dc,,}-1
  commands[$name-edge]=$(printf '%q ' "$bin/breakwater-edge" --dc "$dc" --server "$name" --data-dir "$dir/$name" \
    --trust "$dir/trust.pem" --etcd "$endpoints" --etcd-ca "$dir/ca/ca.pem" \
    --report "$reports" --report-ca "$dir/ca/ca.pem" --report-cert "$dir/$name.pem" --report-key "$dir/$name.key")
  start "$name-edge"
done

cat <<TEXT

running; logs are in $dir/log, what data centers serve in $dir/*/serve/current
$(for name in $(printf '%s\n' "${!pids[@]}" | sort); do printf '  %-12s process %s\n' "$name" "${pids[$name]}"; done)

Try, in another terminal:
  export CURL_CA_BUNDLE=$dir/ca/ca.pem
  curl -H "Authorization: Bearer \$(cat $dir/operator.token)" https://$host:$((port + 24))/v1/dataCenters/SJC/servers
  kill -9 ${pids[replica-1]}      # the other replica, at https://$host:$((port + 28)), takes over
TEXT

while :; do
  wait -n || true
  for name in "${!pids[@]}"; do
    kill -0 "${pids[$name]}" 2>/dev/null && continue
    echo "$name ended; the last of its log:"
    tail -n 2 "$dir/log/$name.log"
    if [[ -z ${RESTART:-} ]]; then
      unset "pids[$name]"
    else
      sleep 1
      start "$name"
      echo "$name is started again as process ${pids[$name]}"
    fi
  done
  ((${#pids[@]} > 0)) || exit 1
done
