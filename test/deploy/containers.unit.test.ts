import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { table, type Role } from '../../src/platform/config-table.ts';
import { loadConfig } from '../../src/platform/config.ts';
import { opensslMissing } from '../support/certificates.ts';
import { readComposeFile, readEnvFile, root } from '../support/compose-file.ts';

const { services, volumes, networks } = readComposeFile();
const roles: Readonly<Record<string, Role>> = { api: 'api', projector: 'projector', worker: 'worker', 'bridge-1': 'bridge', 'bridge-2': 'bridge' };
const ours = Object.keys(roles);
const long = Object.entries(services).filter(([name]) => name !== 'mosquitto-identities');

describe('docker-compose.yml', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loqey-secrets-'));
  const secrets = (files: readonly string[] = []) => Object.assign({}, ...files.map((file) => readEnvFile(join(folder, file)))) as Record<string, string>;
  const settings = (name: string) => ({ ...services[name]!.environment, ...secrets(services[name]!.env_file) });

  beforeAll(() => {
    mkdirSync(join(folder, 'deploy'));
    cpSync(join(root, 'deploy/make-secrets.sh'), join(folder, 'deploy/make-secrets.sh'));
    execFileSync('sh', [join(folder, 'deploy/make-secrets.sh')], { stdio: 'ignore' });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('runs every role, and two bridges with an MQTT client id each', () => {
    expect(Object.fromEntries(ours.map((name) => [name, services[name]?.environment?.['ROLES']]))).toEqual(roles);
    const ids = ours.map((name) => services[name]?.environment?.['MQTT_CLIENT_ID']);
    expect(new Set(ids).size).toBe(ours.length);
  });

  it.each(ours)('%s starts with its settings: each known, each valid, none without effect', (name) => {
    const known = Object.values(table).map(({ env }) => env);
    expect(Object.keys(settings(name)).filter((env) => !known.includes(env))).toEqual([]);
    const config = loadConfig(settings(name));
    expect(config).toMatchObject({ environment: 'production', roles: [roles[name]], ignored: [] });
    expect(config.databaseUrl).toContain('@postgres:5432/');
    expect([config.eventStoreUrl, config.kafkaBrokers, config.mqttUrl]).not.toContain(undefined);
  });

  it('gives a secret only to those who need it', () => {
    const names = (name: string) => services[name]?.env_file?.map((file) => file.replace(/^deploy\/secrets\/|\.env$/g, '')).sort();
    expect(Object.fromEntries(Object.keys(services).flatMap((name) => (names(name) === undefined ? [] : [[name, names(name)]])))).toEqual({
      api: ['administrator', 'database', 'metrics', 'provisioner', 'tokens', 'vault'],
      projector: ['database', 'metrics', 'vault'],
      worker: ['audit', 'database', 'metrics', 'provisioner', 'vault'],
      'bridge-1': ['bridge', 'database', 'metrics'],
      'bridge-2': ['bridge', 'database', 'metrics'],
      postgres: ['postgres'],
      'mosquitto-identities': ['mosquitto'],
    });
  });

  it('secrets are made once, unreadable to others, long, each its own', () => {
    const files = readdirSync(join(folder, 'deploy/secrets'));
    for (const file of files) expect(statSync(join(folder, 'deploy/secrets', file)).mode & 0o077).toBe(0);
    const made = ['vault', 'tokens', 'audit', 'administrator', 'provisioner', 'bridge', 'metrics'].flatMap((name) => Object.entries(readEnvFile(join(folder, `deploy/secrets/${name}.env`))));
    const random = made.filter(([name]) => /PASSWORD|KEY|TOKEN/.test(name)).map(([, value]) => value);
    expect(new Set(random).size).toBe(random.length);
    expect(random.every((value) => /^[0-9a-f]{48,64}$/.test(value))).toBe(true);
    expect(() => execFileSync('sh', [join(folder, 'deploy/make-secrets.sh')], { stdio: 'ignore' })).toThrow();
    expect(readFileSync(join(root, '.gitignore'), 'utf8')).toContain('/deploy/secrets/');
  });

  it('Mosquitto is told of the identities that the bridges and the provisioner sign in with', () => {
    const path = join(folder, 'dynamic-security.json');
    const script = String((services['mosquitto-identities']!.command as readonly string[])[2]).replaceAll('/mosquitto/data/dynamic-security.json', path);
    execFileSync('sh', ['-c', script.replace('exec node', `exec ${process.execPath}`)], {
      cwd: root,
      env: { ...secrets(services['mosquitto-identities']!.env_file) },
      stdio: 'ignore',
    });
    const { clients } = JSON.parse(readFileSync(path, 'utf8')) as { clients: { username: string }[] };
    const bridge = settings('bridge-1');
    expect(clients.map(({ username }) => username)).toEqual(
      expect.arrayContaining([bridge['MQTT_USERNAME'], bridge['MQTT_DOWNLINK_USERNAME'], settings('worker')['MQTT_ADMIN_USERNAME']]),
    );
    const [made, inBridge] = [secrets(['deploy/secrets/mosquitto.env']), secrets(['deploy/secrets/bridge.env', 'deploy/secrets/provisioner.env'])];
    expect([made['MQTT_UPLINK_PASSWORD'], made['MQTT_DOWNLINK_PASSWORD'], made['MQTT_PROVISIONER_PASSWORD']]).toEqual([
      inBridge['MQTT_PASSWORD'],
      inBridge['MQTT_DOWNLINK_PASSWORD'],
      inBridge['MQTT_ADMIN_PASSWORD'],
    ]);
  });

  it('publishes the API and the broker, on this machine alone', () => {
    const published = Object.entries(services).flatMap(([name, { ports = [] }]) => ports.map((port) => `${name} ${port}`));
    expect(published).toEqual(['api 127.0.0.1:8000:8000', 'mosquitto 127.0.0.1:1883:1883']);
    expect(networks['inside']).toEqual({ internal: true });
  });

  it.each(long)('%s comes back after a crash, gets time to stop, and says whether it is well', (name, service) => {
    expect(service.restart).toBe('unless-stopped');
    expect(Number.parseInt(service.stop_grace_period ?? '0', 10)).toBeGreaterThan(20);
    // Ours have theirs from the image.
    expect(service.healthcheck?.test !== undefined || name in roles).toBe(true);
  });

  it('starts nothing before what it needs', () => {
    for (const name of ours) expect(Object.keys(services[name]?.depends_on ?? {})).toEqual(expect.arrayContaining(['eventstore', 'postgres', 'kafka', 'mosquitto']));
    for (const { depends_on: needs = {} } of Object.values(services)) expect(Object.keys(needs).filter((needed) => !(needed in services))).toEqual([]);
  });

  it('keeps what must last in named volumes, and mounts only files that exist', () => {
    const mounts = Object.values(services).flatMap(({ volumes: each = [] }) => each.map((mount) => mount.split(':')[0] ?? ''));
    const files = mounts.filter((mount) => mount.startsWith('./'));
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    expect(Object.keys(volumes).sort()).toEqual([...new Set(mounts.filter((mount) => !mount.startsWith('./')))].sort());
  });
});

describe('docker-compose.tls.yml', () => {
  const encrypted = readComposeFile('docker-compose.tls.yml').services;

  it('changes only services that there are: each process asks for the encrypted broker and checks who it is', () => {
    expect(Object.keys(encrypted).filter((name) => !(name in services))).toEqual([]);
    for (const name of ours) {
      const environment = { ...services[name]!.environment, ...encrypted[name]!.environment };
      expect(environment).toMatchObject({ ROLES: roles[name], MQTT_URL: 'mqtts://mosquitto:8883', MQTT_TLS_CA_FILE: '/tls/ca.crt' });
      expect(environment['MQTT_PUBLIC_URL']).toMatch(/^mqtts:/);
      expect(encrypted[name]!.volumes?.map((mount) => mount.split(':')[1])).toEqual(['/tls/ca.crt']);
    }
  });

  it('puts the encrypted listener in the place of the plain one, with the files that the script makes', () => {
    const target = (mount: string) => mount.split(':')[1];
    const plain = services['mosquitto']!.volumes!.find((mount) => mount.startsWith('./deploy/mosquitto/listeners/'))!;
    const mounts = encrypted['mosquitto']!.volumes!;
    expect(mounts.find((mount) => mount.startsWith('./deploy/mosquitto/listeners/tls.conf'))!.split(':')[1]).toBe(target(plain));
    const listener = readFileSync(join(root, 'deploy/mosquitto/listeners/tls.conf'), 'utf8');
    expect(listener).toContain('listener 8883');
    for (const [, file = ''] of listener.matchAll(/^(?:certfile|keyfile) (.+)$/gm)) expect(mounts.map(target)).toContain(file);
    expect(encrypted['mosquitto']!.ports).toEqual(['8883:8883']);
  });

  it.skipIf(opensslMissing() !== undefined)(`its certificates are for the names that are asked for, and renewed without another authority${opensslMissing() === undefined ? '' : ' (no openssl)'}`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'loqey-certificates-'));
    try {
      mkdirSync(join(folder, 'deploy'));
      cpSync(join(root, 'deploy/make-certificates.sh'), join(folder, 'deploy/make-certificates.sh'));
      const make = (...names: string[]) => execFileSync('sh', [join(folder, 'deploy/make-certificates.sh'), ...names], { stdio: 'ignore' });
      const read = (name: string) => readFileSync(join(folder, 'deploy/certificates', name), 'utf8');
      make('broker.example.com', '192.0.2.10');
      const authority = new X509Certificate(read('ca.crt'));
      const [first, ca] = [new X509Certificate(read('server.crt')), read('ca.crt')];
      expect(first.verify(authority.publicKey)).toBe(true);
      for (const name of ['broker.example.com', 'localhost', 'mosquitto']) expect(first.checkHost(name)).toBe(name);
      expect(first.checkIP('192.0.2.10')).toBe('192.0.2.10');
      expect(first.checkHost('other.example.com')).toBeUndefined();
      expect(first.checkPrivateKey(createPrivateKey(read('server.key')))).toBe(true);
      expect(statSync(join(folder, 'deploy/certificates/ca.key')).mode & 0o077).toBe(0);
      make('broker.example.com');
      expect(read('ca.crt')).toBe(ca);
      expect(new X509Certificate(read('server.crt')).fingerprint256).not.toBe(first.fingerprint256);
      expect(readFileSync(join(root, '.gitignore'), 'utf8')).toContain('/deploy/certificates/');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('Dockerfile', () => {
  const lines = readFileSync(join(root, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ').split('\n');
  const instruction = (word: string) => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const copied = instruction('COPY')
    .filter((arguments_) => !arguments_.startsWith('--from'))
    .flatMap((arguments_) => arguments_.split(/\s+/).slice(0, -1));

  it('copies what exists and what .dockerignore lets through', () => {
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const allowed = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect([...new Set(copied)].sort()).toEqual(allowed.sort());
  });

  it('has all that the program reads besides itself', () => {
    // Sources import nothing above src but these.
    const outside = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => [...readFileSync(join(root, 'src', file), 'utf8').matchAll(/['"](?:\.\.\/)+((?:migrations|deploy|contracts|web|scripts|test|package\.json)[^'"]*)['"]/g)])
      .map(([, path = '']) => path.split('/')[0] ?? '');
    expect([...new Set(outside)].filter((path) => !copied.some((from) => from.split('/')[0] === path))).toEqual([]);
  });

  it('does not run as root, keeps its data in a volume, and can be asked how it is', () => {
    expect(instruction('USER')).toEqual(['node']);
    expect(instruction('VOLUME')).toEqual(['/data']);
    expect(instruction('HEALTHCHECK')[0]).toContain('/health/ready');
    expect(instruction('FROM').every((from) => from.startsWith('node:24-slim'))).toBe(true);
  });
});
