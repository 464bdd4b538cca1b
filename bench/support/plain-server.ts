import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import express from 'express';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { silentLogger } from '../../src/platform/logger.ts';
import { createEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';

/**
 * What a plain service of the same parts can do here: Express, a JWT, one statement. No events, no rules, no seals, no
 * audit, no read models. What the system does is read against it. Started by `bench/http.ts` in a process of its own.
 */
const [dataDir = ''] = process.argv.slice(2);
const secret = randomBytes(32).toString('hex');
const postgres = createEmbeddedPostgres({ dataDir, logger: silentLogger });
const pool = new pg.Pool({ connectionString: await postgres.start(), max: 10 });
const owner = '22222222-2222-4222-8222-222222222222';
await pool.query(`
  CREATE TABLE devices (id uuid PRIMARY KEY, owner_id uuid NOT NULL, serial text NOT NULL, name text, battery integer, online boolean, heard_at timestamptz);
  CREATE INDEX ON devices (owner_id);
  INSERT INTO devices SELECT gen_random_uuid(), '${owner}', 'LQ-' || i, 'Front door', 80, true, now() FROM generate_series(1, 5) i;
  CREATE TABLE links (id uuid PRIMARY KEY, owner_id uuid NOT NULL, device_id uuid NOT NULL, token text UNIQUE NOT NULL, name text,
                      max_uses integer NOT NULL, expires_at timestamptz NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
  CREATE INDEX ON links (owner_id, created_at)`);

const app = express();
app.get('/empty', (_req, res) => void res.json({ ok: true }));
app.use((req, _res, next) => {
  jwt.verify((req.headers.authorization ?? '').slice(7), secret, { algorithms: ['HS256'] });
  next();
});
app.get('/devices', async (_req, res) => {
  const { rows } = await pool.query('SELECT id, serial, name, battery, online, heard_at FROM devices WHERE owner_id = $1', [owner]);
  res.json(rows);
});
app.post('/links', express.json(), async (req, res) => {
  const { name, max_uses: maxUses } = req.body as { name: string; max_uses: number };
  const { rows } = await pool.query(
    `INSERT INTO links (id, owner_id, device_id, token, name, max_uses, expires_at)
     VALUES (gen_random_uuid(), $1, gen_random_uuid(), $2, $3, $4, now() + interval '1 day') RETURNING id, token, expires_at`,
    [owner, randomBytes(24).toString('base64url'), name, maxUses],
  );
  res.json(rows[0]);
});
const server = app.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}`, token: jwt.sign({ sub: owner }, secret, { expiresIn: '1h' }) })}\n`);
});
process.on('SIGTERM', () => {
  void (async () => {
    server.closeAllConnections();
    await pool.end();
    await postgres.stop();
    process.exit();
  })();
});
