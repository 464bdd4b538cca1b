// Runs before `npm start` and `npm test`, on whatever Node the machine has, with nothing installed yet.
// Installs the locked dependencies when they are missing or older than the lock file, and says so.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** What the lock file asks for, without the root entry and the entries npm skips on other platforms. */
function lockedPackages() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(packages).filter(([path, entry]) => path !== '' && entry.optional !== true);
}

function isInstalled() {
  const manifest = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(manifest)) return false;
  const { packages: installed } = JSON.parse(readFileSync(manifest, 'utf8'));
  return lockedPackages().every(([path, entry]) => installed[path]?.version === entry.version);
}

if (!isInstalled()) {
  process.stderr.write('Installing what Loqey needs (once, about half a minute)…\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const install = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (install.status !== 0) {
    process.stderr.write(
      '✖ npm could not install the dependencies (its message is above).\n' +
        '  Check the network or the registry setting, then run the same command again.\n',
    );
    process.exit(1);
  }
}
