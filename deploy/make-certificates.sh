#!/bin/sh
# Makes an authority and the broker's certificate in deploy/certificates, for the names that boxes and bridges use:
#
#   deploy/make-certificates.sh broker.example.com 192.0.2.10
#
# `localhost` and `mosquitto` are always among them. Run again, it issues a new certificate from the same authority.
# Boxes are given ca.crt at their registration (MQTT_TLS_CA_FILE). Keep ca.key elsewhere: whoever has it is your broker.
set -eu
umask 077

folder="$(dirname "$0")/certificates"
mkdir -p "$folder"
cd "$folder"

if [ ! -e ca.key ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -keyout ca.key -out ca.crt -subj "/CN=Loqey broker authority" 2> /dev/null
fi

names="DNS:localhost,DNS:mosquitto,IP:127.0.0.1"
for name in "$@"; do
  case "$name" in
    *[!0-9.]*) names="$names,DNS:$name" ;;
    *) names="$names,IP:$name" ;;
  esac
done
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names" > server.ext

openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key.new -out server.csr -subj "/CN=${1:-localhost}" 2> /dev/null
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 397 -extfile server.ext -out server.crt.new 2> /dev/null
mv server.key.new server.key
mv server.crt.new server.crt
rm server.csr server.ext
# The broker in its container is another user than the one who made them.
chmod 755 .
chmod 644 ca.crt server.crt server.key

echo "Made $folder/server.crt for $names."
echo "Next: docker compose -f docker-compose.yml -f docker-compose.tls.yml up --build --detach"
