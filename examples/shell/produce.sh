#!/bin/sh
# Send files as one big result with curl, through RabbitMQ's management plugin: for small results and for trying out.
#
#     BRH_RABBITMQ_MANAGEMENT_URL=http://user:password@host:15672 BRH_VHOST=brh ./produce.sh T1 cashflows=small.csv
#
# The plugin publishes with mandatory and confirms, and answers {"routed":true} when a queue has the message safe.
# Run it again after any failure: `T1.sent` remembers what was confirmed. Without that file everything is sent again,
# which is harmless: the same payload counts once.
set -eu

transaction=$1
shift
# base64 makes a third more of it, and the plugin takes bodies of up to 10 MiB.
chunk_bytes=${BRH_CHUNK_BYTES:-4194304}
small_bytes=262144 # below this a payload belongs on `small.`
tries=8            # for each message, with pauses of 1, 2, 4, ... at most 30 seconds
journal=$transaction.sent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$journal"

# publish NAME ROUTING_KEY PROPERTIES: what is in $work/body. Names are made of A-Z a-z 0-9 . _ - and need no quoting.
publish() {
    if grep -qxF "$1" "$journal"; then
        return
    fi
    {
        printf '{"routing_key": "%s", "payload_encoding": "base64", "properties": {"correlation_id": "%s",' \
            "$2" "$transaction"
        printf ' "message_id": "%s/%s", "delivery_mode": 2, %s}, "payload": "' "$transaction" "$1" "$3"
        base64 <"$work/body" | tr -d '\n'
        printf '"}'
    } >"$work/request"
    pause=1
    for _ in $(seq "$tries"); do
        answer=$(curl -sS --max-time 60 -H 'content-type: application/json' --data-binary "@$work/request" \
            "$BRH_RABBITMQ_MANAGEMENT_URL/api/exchanges/${BRH_VHOST:-%2F}/brh.in/publish" 2>&1) || true
        if [ "$answer" = '{"routed":true}' ]; then
            echo "$1" >>"$journal"
            return
        fi
        echo "again: $1 was not taken: $answer" >&2
        sleep "$pause"
        pause=$((pause * 2 > 30 ? 30 : pause * 2))
    done
    echo "gave up on $1" >&2
    exit 1
}

size() { wc -c <"$1" | tr -d ' '; }
total() { echo $((($(size "$1") + chunk_bytes - 1) / chunk_bytes)); }

series=
for pair; do
    series="$series${series:+, }{\"type\": \"${pair%%=*}\", \"totalCount\": $(total "${pair#*=}")}"
done
printf '{"series": [%s]}' "$series" >"$work/body"
publish header header.default '"type": "brh.header.v1", "content_type": "application/json"'

for pair; do
    name=${pair%%=*} file=${pair#*=} count=$(total "${pair#*=}") ordinal=1
    while [ "$ordinal" -le "$count" ]; do
        tail -c "+$(((ordinal - 1) * chunk_bytes + 1))" "$file" | head -c "$chunk_bytes" >"$work/body"
        lane=payload
        if [ "$(size "$work/body")" -lt "$small_bytes" ]; then
            lane=small
        fi
        publish "$name/$ordinal" "$lane.$name" "\"type\": \"brh.payload.v1\", \"headers\": {
            \"brh_series_type\": \"$name\", \"brh_ordinal\": $ordinal, \"brh_total_count\": $count}"
        ordinal=$((ordinal + 1))
    done
done
