import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Whether a request came for one of our names. */
export function hostAllowed(header: string | undefined, allowed: readonly string[]): boolean {
  if (allowed.includes('*')) return true;
  if (header === undefined) return false;
  const host = header.replace(/:\d+$/, '').toLowerCase();
  return allowed.some((name) => name === host || (name.startsWith('*.') && host.endsWith(name.slice(1))));
}

/**
 * A request names its host once, and before HTTP/1.1 once at most. Two names are two opinions: one for the proxy in front,
 * one for us.
 */
export function namesOneHost({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let seen = false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length !== 4 || name.toLowerCase() !== 'host') continue;
    if (seen) return false;
    seen = true;
  }
  return seen || httpVersion === '1.0';
}

/** Whose X-Forwarded-For is believed: the last so many entries, or entries of those addresses. */
export type TrustedProxies = { readonly hops: number } | { readonly networks: readonly string[] };

export type ClientAddress = (req: IncomingMessage) => string;

const named: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/**
 * The client's address. The chain is read from our end, and ends at the first address that is no proxy of ours: what
 * stands before that is what a client made up.
 */
export function clientAddress(trusted: TrustedProxies): ClientAddress {
  const isProxy = proxyTest(trusted);
  if (isProxy === undefined) return (req) => plain(req.socket.remoteAddress ?? '');
  return (req) => {
    let address = plain(req.socket.remoteAddress ?? '');
    const header = req.headers['x-forwarded-for'];
    const forwarded = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',');
    for (let hop = 0; forwarded.length > 0 && isProxy(address, hop); hop++) {
      const before = withoutPort((forwarded.pop() ?? '').trim());
      // Not an address: a proxy that hides it, or somebody's invention. The last one that was known counts.
      if (isIP(before) === 0) break;
      address = plain(before);
    }
    return address;
  };
}

/** Whether a request came unencrypted to the proxy in front: which only a proxy of ours is asked for. */
export function cameUnencrypted(trusted: TrustedProxies): (req: IncomingMessage) => boolean {
  const isProxy = proxyTest(trusted);
  return (req) => {
    const proto = req.headers['x-forwarded-proto'];
    return typeof proto === 'string' && proto.split(',', 1)[0]?.trim() === 'http' && isProxy?.(plain(req.socket.remoteAddress ?? ''), 0) === true;
  };
}

/** Undefined where no proxy is trusted. */
export function proxyTest(trusted: TrustedProxies): ((address: string, hop: number) => boolean) | undefined {
  if ('hops' in trusted) return trusted.hops === 0 ? undefined : (_address, hop) => hop < trusted.hops;
  const list = new BlockList();
  for (const network of trusted.networks.flatMap((each) => named[each] ?? [each])) {
    const [address = '', bits] = network.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => isIP(address) !== 0 && list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}

/** `1.2.3.4:5678` and `[::1]:5678`, as some proxies write them. */
function withoutPort(text: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
}

/** An IPv4 address that came over IPv6 is the IPv4 address. */
function plain(address: string): string {
  return address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address;
}

/**
 * By what a stranger is counted: an IPv4 address, or the /64 of an IPv6 one. One home or phone has a whole /64, so its
 * addresses are no more than one source.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = (address.split('%', 1)[0] ?? '').toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  if (tail === undefined) return networkName(left);
  const right = tail === '' ? [] : tail.split(':');
  // A tail in dotted form stands for two groups.
  const groups = right.length + (tail.includes('.') ? 1 : 0);
  return networkName([...left, ...Array<string>(Math.max(0, 8 - left.length - groups)).fill('0'), ...right]);
}

function networkName(groups: readonly string[]): string {
  return `${groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
