import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Paths of one certificate, and what is in the files. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** A small authority of a test, by openssl: P-256, two days. */
export interface TestAuthority {
  readonly folder: string;
  readonly caFile: string;
  readonly ca: string;
  /** For a server also the names and addresses that it is reached by. */
  issue(commonName: string, names?: readonly string[]): TestCertificate;
  remove(): void;
}

/** Why certificates cannot be made here, or nothing. */
export function opensslMissing(): string | undefined {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'no openssl';
  }
}

export function createAuthority(name = 'Test CA'): TestAuthority {
  const folder = mkdtempSync(join(tmpdir(), 'loqey-pki-'));
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', `/CN=${name}`);
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
  let serial = 0;
  return {
    folder,
    caFile: join(folder, 'ca.crt'),
    ca: read('ca.crt'),
    issue(commonName, names = []) {
      const file = `${++serial}`;
      writeFileSync(join(folder, `${file}.ext`), names.length === 0 ? 'extendedKeyUsage=clientAuth\n' : `subjectAltName=${names.map((each) => `${/^[\d.]+$/.test(each) ? 'IP' : 'DNS'}:${each}`).join(',')}\n`);
      openssl('req', ...ec, '-keyout', `${file}.key`, '-out', `${file}.csr`, '-subj', `/CN=${commonName}`);
      openssl('x509', '-req', '-in', `${file}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-out', `${file}.crt`, '-days', '2', '-extfile', `${file}.ext`);
      return { certFile: join(folder, `${file}.crt`), keyFile: join(folder, `${file}.key`), cert: read(`${file}.crt`), key: read(`${file}.key`) };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
