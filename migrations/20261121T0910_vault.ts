import type { Migration } from './index.ts';

/**
 * What must never be in an event and cannot be rebuilt from the log: keys, hashes, the e-mail index; and the sessions of
 * people, whose loss means a new login.
 */
export const vault: Migration = {
  id: '20261121T0910_vault',
  sql: `
-- A setting that must stay the same (a master key) leaves a value here that only the same one produces.
CREATE TABLE vault.check_values (
  name       text        PRIMARY KEY,
  value      text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Data keys, wrapped. Destroyed: the row stays, the key is gone, and its subject never gets another one.
-- Kinds that are made in advance have no subject until they are taken; then they may have several per subject.
CREATE TABLE vault.data_keys (
  key_id       text        PRIMARY KEY,
  subject      text,
  kind         text        NOT NULL,
  in_advance   boolean     NOT NULL,
  wrapped      bytea,
  created_at   timestamptz NOT NULL DEFAULT now(),
  destroyed_at timestamptz,
  CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL)),
  CHECK (in_advance OR subject IS NOT NULL)
);
CREATE UNIQUE INDEX data_keys_subject ON vault.data_keys (subject) WHERE NOT in_advance;
CREATE INDEX data_keys_subjects ON vault.data_keys (subject) WHERE in_advance AND subject IS NOT NULL;
CREATE INDEX data_keys_age ON vault.data_keys (kind, created_at) WHERE destroyed_at IS NULL;

-- Master keys of devices, wrapped. During a rotation a device has a current and a pending one.
CREATE TABLE vault.device_keys (
  device_id   text        NOT NULL,
  key_version integer     NOT NULL CHECK (key_version > 0),
  state       text        NOT NULL CHECK (state IN ('current', 'pending')),
  wrapped     bytea       NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (device_id, key_version)
);
CREATE UNIQUE INDEX device_keys_state ON vault.device_keys (device_id, state);

-- Who may connect to the broker, and where: asked at every connect.
-- The username is the device id, the client id is made of it: one unique index says it all, and two writers of one box
-- at the same moment meet in that one alone.
CREATE TABLE vault.device_credentials (
  device_id        text        PRIMARY KEY,
  username         text        NOT NULL CHECK (username = device_id),
  client_id        text        NOT NULL,
  password_hashes  text[]      NOT NULL,
  publish_topics   text[]      NOT NULL,
  subscribe_topics text[]      NOT NULL,
  updated_at       timestamptz NOT NULL DEFAULT now()
);

-- A keyed hash of the address: one address, one user.
CREATE TABLE vault.email_index (
  tag        text        PRIMARY KEY,
  user_id    text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX email_index_user ON vault.email_index (user_id);

CREATE TABLE vault.passwords (
  user_id    text        PRIMARY KEY,
  hash       text        NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- One row per refresh token ever given, as a hash. A used one stays until it expires, to recognise its reuse.
CREATE TABLE vault.refresh_tokens (
  token_hash text        PRIMARY KEY,
  session_id text        NOT NULL,
  successor  text,
  issued_at  timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at    timestamptz
);
CREATE INDEX refresh_tokens_session ON vault.refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON vault.refresh_tokens (expires_at);

CREATE TABLE work.sessions (
  session_id   text        PRIMARY KEY,
  user_id      text        NOT NULL,
  scope        text        NOT NULL CHECK (scope IN ('user', 'admin')),
  user_agent   text,
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  revoked_at   timestamptz
);
CREATE INDEX sessions_user ON work.sessions (user_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_last_seen ON work.sessions (last_seen_at);
`,
};
