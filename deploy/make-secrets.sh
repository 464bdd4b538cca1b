#!/bin/sh
# Makes the passwords and keys of docker-compose.yml in deploy/secrets, one file for each who needs to know, once.
# An existing folder is left alone: new keys would make the old data unreadable.
set -eu
umask 077

folder="$(dirname "$0")/secrets"
admin_email="${ADMIN_EMAIL:-admin@example.com}"
if [ -e "$folder" ]; then
  echo "There is $folder already: it is left as it is. To renew one secret, see docs/operations.md." >&2
  exit 1
fi

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
key() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

postgres=$(password)
uplink=$(password)
downlink=$(password)
provisioner=$(password)
administrator=$(password)

mkdir -p "$folder.new"
cat > "$folder.new/database.env" <<END
# Every process.
DATABASE_URL=postgresql://loqey:$postgres@postgres:5432/loqey
END
cat > "$folder.new/metrics.env" <<END
# Every process: what whoever collects /metrics shows as a bearer token.
METRICS_TOKEN=$(password)
END
cat > "$folder.new/vault.env" <<END
# All but the bridges. Opens names, addresses and device keys: keep a copy of it outside this machine.
DATA_KEY_MASTER=$(key)
END
cat > "$folder.new/tokens.env" <<END
# Who signs access tokens: api.
SECRET_KEY=$(key)
END
cat > "$folder.new/audit.env" <<END
# Who signs the audit log: worker.
AUDIT_SIGNING_KEY=$(key)
END
cat > "$folder.new/administrator.env" <<END
# The first administrator, made at the first start.
ADMIN_EMAIL=$admin_email
ADMIN_PASSWORD=$administrator
END
cat > "$folder.new/provisioner.env" <<END
# Who may tell Mosquitto about boxes: api and worker.
MQTT_ADMIN_USERNAME=provisioner
MQTT_ADMIN_PASSWORD=$provisioner
END
cat > "$folder.new/bridge.env" <<END
# The bridges' two identities: one only hears boxes, the other only commands them.
MQTT_USERNAME=bridge-uplink
MQTT_PASSWORD=$uplink
MQTT_DOWNLINK_USERNAME=bridge-downlink
MQTT_DOWNLINK_PASSWORD=$downlink
END
cat > "$folder.new/mosquitto.env" <<END
# What deploy/mosquitto/bootstrap.ts puts into Mosquitto's first dynamic security file.
MQTT_UPLINK_PASSWORD=$uplink
MQTT_DOWNLINK_PASSWORD=$downlink
MQTT_PROVISIONER_PASSWORD=$provisioner
END
cat > "$folder.new/postgres.env" <<END
POSTGRES_PASSWORD=$postgres
END
mv "$folder.new" "$folder"

cat <<END
Made $folder, readable by you alone. Keep a copy outside this machine.
First administrator: $admin_email   $administrator
Next: docker compose up --build --detach
END
