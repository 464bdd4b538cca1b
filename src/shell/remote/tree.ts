import type { Command } from 'commander';
import { addCommand, type CommandSpec, type JobContext } from './command.ts';

const limit = ['--limit <n>', 'rows at most (default 50)'] as const;
const yes = ['--yes', 'without a question'] as const;
const reason = ['--reason <text>', 'goes into the audit log, sealed for the person whose box or account it is'] as const;
const from = ['--from <time>', 'a date or an ISO time, UTC'] as const;
const to = ['--to <time>', 'a date or an ISO time, UTC'] as const;
const namedBefore = ['--named-before <time>', 'names of links and couriers that are older, where an answer said that it did not look through these'] as const;
const timeZone = ['--tz <zone>', 'as Europe/Istanbul (default: that of the server)'] as const;
const words = ['[words...]', 'of sentences, reasons, codes, names, addresses, serial numbers; ids or their beginnings'] as const;
const aDevice = ['<device>', 'serial number, id, or the beginning of either'] as const;
const aLink = ['<link>', 'its id, or the beginning of it where it is one of the last thousand'] as const;
const anOpening = ['<delivery>', 'its id, or the beginning of it where it is one of the last thousand'] as const;
const at = ['--at <moment>', 'as it was then: a time (UTC), 10m (ago), or a position of the log'] as const;
const since = ['--from <moment>', 'a time (UTC), 10m (ago), or a position of the log'] as const;
const until = ['--to <moment>', 'the same; default: now'] as const;
const aUser = ['<user>', 'e-mail address, id, or a part of the address or name'] as const;

const isPast = (options: { readonly at?: string }): boolean => options.at !== undefined;

/** What only one command needs is loaded when it runs. */
const devices = () => import('./devices.ts');
const users = () => import('./users.ts');
const audit = () => import('./audit.ts');
const history = () => import('./history.ts');
const session = () => import('./session.ts');
const figures = () => import('./figures.ts');

const audited = [
  ['--actor <id>', 'who acted: account, link or device id, or an e-mail address'],
  ['--device <device>', 'serial number or id'],
  ['--user <user>', 'whom it concerns: id or e-mail address'],
  ['--link <id>', 'by which link'],
  ['--unlock <id>', 'about one opening'],
  ['--action <name>', 'as device_unlock, link_created'],
  ['--type <types>', 'event types, separated by commas'],
  ['--outcome <outcome>', 'how it went', ['accepted', 'refused', 'failed']],
  ['--ip <address>', 'from where'],
] as const;

const top: readonly CommandSpec[] = [
  {
    name: 'login',
    purpose: 'Sign in as an administrator; the session is kept in your home folder.',
    args: [['[email]', 'asked for where it is not given']],
    options: [['--password-stdin', 'the password comes on standard input']],
    examples: ['login ana@example.com', 'login --url https://loqey.example.com ana@example.com', 'login ana@example.com --password-stdin < secret.txt'],
    run: async (...all) => (await session()).login(...all),
  },
  { name: 'logout', purpose: 'End the session.', examples: ['logout'], run: async (...all) => (await session()).logout(...all) },
  { name: 'whoami', purpose: 'Who is signed in, where, and with which rights.', examples: ['whoami', 'whoami --json'], run: async (...all) => (await session()).whoami(...all) },
  {
    name: 'api',
    purpose: 'Ask any route of the API; the answer goes out as it came.',
    args: [['<method>', 'GET, POST, PUT, PATCH or DELETE'], ['<path>', 'below /api/v1']],
    options: [['--body <json>', 'what is sent; - takes it from standard input']],
    examples: ['api GET /admin/dashboard', "api POST /admin/devices/register --body '{\"serial_number\": \"LB-2026-0001\"}'", 'api GET /admin/system/health | jq .dependencies'],
    run: async (...all) => (await import('./any.ts')).api(...all),
  },
  { name: 'dashboard', purpose: 'The platform in five figures.', options: [timeZone], examples: ['dashboard', 'dashboard --json'], run: async (...all) => (await figures()).dashboard(...all) },
];

const groups: readonly { readonly name: string; readonly purpose: string; readonly commands: readonly CommandSpec[] }[] = [
  {
    name: 'device',
    purpose: 'boxes: register them, look at them, open them, take them out of service',
    commands: [
      {
        name: 'list',
        aliases: ['ls'],
        purpose: 'The fleet, by what you look for.',
        options: [
          ['--status <status>', 'where it stands', ['available', 'assigned', 'active', 'maintenance', 'decommissioned']],
          ['--assigned', 'that have an owner'],
          ['--unassigned', 'that have none'],
          ['--online', 'heard of within five minutes'],
          ['--offline', 'not heard of'],
          ['--low-battery', 'below 20 %'],
          ['--model <model>', 'of one model'],
          ['--firmware <version>', 'with one firmware'],
          ['--unlink-requested', 'whose owner asked support to take them off the account'],
          ['--search <text>', 'in serial number, id, name, and the name and address of the owner'],
          limit,
        ],
        examples: ['device list --offline --assigned', 'device list --low-battery --json', "device list --search 'mill lane'"],
        run: async (...all) => (await devices()).list(...all),
      },
      {
        name: 'show',
        purpose: 'One box, without its PIN; also as it was.',
        args: [aDevice],
        options: [at],
        examples: ['device show LB-004471', 'device show 6f1c', "device show LB-004471 --at '2026-11-21 14:02'"],
        run: async (...all) => (isPast(all[2]) ? (await history()).deviceThen(...all) : (await devices()).show(...all)),
      },
      { name: 'diff', purpose: 'What changed of a box between two moments, and by which events.', args: [aDevice], needs: [since], options: [until], examples: ['device diff LB-004471 --from 2h', "device diff LB-004471 --from '2026-11-21 14:00' --to '2026-11-21 15:00'"], run: async (...all) => (await history()).deviceDiff(...all) },
      {
        name: 'why',
        purpose: 'Whether its owner, or somebody, could open a box then: the rule, and the event that decided.',
        args: [aDevice],
        options: [at, ['--user <user>', 'who would ask (default: the owner of then)']],
        examples: ['device why LB-004471', 'device why LB-004471 --at 3d --user bob@example.com'],
        run: async (...all) => (await history()).whyDevice(...all),
      },
      {
        name: 'register',
        purpose: 'Register a box, or all of a CSV file; PIN and provisioning are shown once.',
        args: [['[serial]', '4 to 50 letters, digits and hyphens']],
        options: [
          ['--model <model>', 'default LoqeyBox-V1'],
          ['--profile <profile>', 'what its firmware speaks', ['loqey', 'loqey_serial', 'smartlock', 'transisttag']],
          ['--hardware-id <id>', 'what an old firmware calls itself'],
          ['--file <csv>', 'columns serial_number, device_model, profile, hardware_id'],
          ['--out <file>', 'a new file for what became of each row with its secrets: .csv or .json'],
          ['--dry-run', 'says what would be done'],
        ],
        examples: ['device register LB-2026-0001', 'device register --file boxes.csv --dry-run', 'device register --file boxes.csv --out secrets.csv'],
        run: async (...all) => (await devices()).register(...all),
      },
      {
        name: 'unlock',
        purpose: 'Open a box in an emergency, and wait for what the box says.',
        args: [aDevice],
        options: [['--reason <text>', 'without one the owner and every super_admin are told that there was none'], yes],
        examples: ["device unlock LB-004471 --reason 'child inside'"],
        run: async (...all) => (await devices()).unlock(...all),
      },
      { name: 'pin', purpose: 'The PIN of a box; that you looked is recorded.', args: [aDevice], options: [['--new', 'issue a new one; the old one stops working at once'], yes], examples: ['device pin LB-004471', 'device pin LB-004471 --new'], run: async (...all) => (await devices()).pin(...all) },
      { name: 'unlink', purpose: 'Take a box from its owner.', args: [aDevice], options: [reason, yes], examples: ["device unlink LB-004471 --reason 'asked by the owner'"], run: async (...all) => (await devices()).unlink(...all) },
      { name: 'maintenance', purpose: 'Take a box out of service for a while, or back.', args: [aDevice], options: [['--end', 'back into service'], reason, yes], examples: ["device maintenance LB-004471 --reason 'new hinge'", 'device maintenance LB-004471 --end'], run: async (...all) => (await devices()).maintenance(...all) },
      { name: 'decommission', purpose: 'Take a box out of service for good.', args: [aDevice], options: [reason, yes], examples: ["device decommission LB-004471 --reason 'stolen'"], run: async (...all) => (await devices()).decommission(...all) },
      { name: 'history', purpose: 'What happened with a box, the newest last.', args: [aDevice], options: [from, to, limit], examples: ['device history LB-004471', 'device history LB-004471 --from 2026-11-21 --json'], run: async (...all) => (await audit()).history(...all) },
      { name: 'check', purpose: 'Look now whether a box is still heard of.', args: [aDevice], examples: ['device check LB-004471'], run: async (...all) => (await devices()).check(...all) },
      {
        name: 'rejected',
        purpose: 'Messages that had no effect, and why: of one box, or of strangers.',
        args: [['[device]', 'serial number, id, or the beginning of either; without one: of nobody that is known here']],
        examples: ['device rejected LB-004471', 'device rejected', 'device rejected --json'],
        run: async (...all) => (await import('./rejected.ts')).rejected(...all),
      },
      { name: 'accept-deliveries', purpose: 'Let couriers open a box of old firmware, which cannot prove what it did.', args: [aDevice], needs: [reason], options: [yes], examples: ["device accept-deliveries LB-004471 --reason 'the owner knows'"], run: async (...all) => (await devices()).acceptDeliveries(...all) },
      { name: 'rotate-keys', purpose: 'Give a box a new key; the old one ends when the box signs with the new one.', args: [aDevice], options: [yes], examples: ['device rotate-keys LB-004471'], run: async (...all) => (await devices()).rotateKeys(...all) },
      {
        name: 'reprovision',
        purpose: 'New keys for a box that is flashed anew; the old ones end at once, the new ones are shown once.',
        args: [aDevice],
        needs: [reason],
        options: [['--out <file>', 'a new file for them, instead of the screen'], yes],
        examples: ["device reprovision LB-004471 --reason 'new board' --out LB-004471.json"],
        run: async (...all) => (await devices()).reprovision(...all),
      },
    ],
  },
  {
    name: 'user',
    purpose: 'accounts: look at them, suspend them, take a copy of one, erase one',
    commands: [
      {
        name: 'list',
        aliases: ['ls'],
        purpose: 'Every account.',
        options: [['--active', 'that may sign in'], ['--suspended', 'that may not'], ['--search <text>', 'in address and name'], limit],
        examples: ['user list --suspended', 'user list --search ana'],
        run: async (...all) => (await users()).list(...all),
      },
      {
        name: 'show',
        purpose: 'One account with its boxes; or as it was.',
        args: [aUser],
        options: [at],
        examples: ['user show ana@example.com', 'user show ana@example.com --at 2026-11-01'],
        run: async (...all) => (isPast(all[2]) ? (await history()).userThen(...all) : (await users()).show(...all)),
      },
      { name: 'diff', purpose: 'What changed of an account between two moments, and by which events.', args: [aUser], needs: [since], options: [until], examples: ['user diff ana@example.com --from 7d'], run: async (...all) => (await history()).userDiff(...all) },
      { name: 'suspend', purpose: 'Shut an account out: its sessions end, its links stop.', args: [aUser], options: [reason, yes], examples: ["user suspend ana@example.com --reason 'fraud'"], run: async (...all) => (await users()).suspend(...all) },
      { name: 'activate', purpose: 'End a suspension; links that it ended stay ended.', args: [aUser], examples: ['user activate ana@example.com'], run: async (...all) => (await users()).activate(...all) },
      {
        name: 'export',
        purpose: 'Everything that is kept of an account, as one JSON document.',
        args: [aUser],
        options: [['--out <file>', 'a new file, for you alone (default: standard output)']],
        examples: ['user export ana@example.com --out ana.json', 'user export ana@example.com | jq .account'],
        run: async (...all) => (await import('./erasure.ts')).exportUser(...all),
      },
      {
        name: 'erase',
        purpose: 'Erase an account for ever: nothing that the log says of it can be read afterwards.',
        args: [aUser],
        needs: [['--ground <ground>', 'why: requested, no_longer_needed, unlawful or legal_obligation']],
        options: [['--out <file>', 'a new file for the signed receipt, instead of the screen'], yes],
        examples: ['user erase ana@example.com --ground requested --out receipt.json', 'user erase ana@example.com --ground requested --yes --json'],
        run: async (...all) => (await import('./erasure.ts')).erase(...all),
      },
    ],
  },
  {
    name: 'audit',
    purpose: 'who did what, on what, when, and from where',
    commands: [
      {
        name: 'list',
        aliases: ['search'],
        purpose: 'What happened, the newest last; of it what has all of the words.',
        args: [words],
        options: [...audited, from, to, namedBefore, limit],
        examples: ['audit list --device LB-004471 --limit 20', 'audit search jammed LB-004471', 'audit search ana@example.com --outcome refused --from 2026-11-21', 'audit list --ip 203.0.113.7 --json'],
        run: async (...all) => (await audit()).list(...all),
      },
      {
        name: 'tail',
        purpose: 'What happens, as it happens, until Ctrl+C.',
        args: [words],
        options: [...audited, ['-n, --lines <n>', 'events from before (default 10)']],
        examples: ['audit tail', 'audit tail --device LB-004471 -n 0', 'audit tail refused --json | jq .summary'],
        run: async (...all) => (await audit()).tail(...all),
      },
      {
        name: 'show',
        purpose: 'One entry, with what led to it and what else came of the same request.',
        args: [['<event>', 'its id or at least 6 signs of its beginning, as lines of the list begin with']],
        examples: ['audit show 3f2a9c01', 'audit show 3f2a9c01-7a10-5c3e-8f00-4b1d2e3f4a50 --json'],
        run: async (...all) => (await audit()).show(...all),
      },
      {
        name: 'playback',
        purpose: 'The past again, line by line as it came, with the states beside it. It shows, and nothing follows from it: read models are built anew by `projections rebuild`.',
        args: [words],
        options: [
          ['--from <moment>', 'where it begins: a time (UTC), 10m (ago), or a position of the log (default: the beginning)'],
          ['--to <moment>', 'where it ends (default: the end)'],
          ['--speed <speed>', '1x as it was, 10x, 1000x, max (default: 1x on a screen, else max)'],
          ['--skip-idle <seconds>', 'waits no longer than this where nothing happened (default 2)'],
          ['--step', 'stands still; → or n shows the next line, ← the one before, space plays'],
          ...audited,
        ],
        examples: ["audit playback --from 2h --speed 10x", 'audit playback --device LB-004471 --from 2026-11-21T14:00:00Z --step', 'audit playback refused --from 1d --json | jq .entry.summary'],
        run: async (...all) => (await import('./playback.ts')).playback(...all),
      },
      {
        name: 'download',
        purpose: 'The audit log as a file to read, in words and with names. (As it is stored and sealed, for proofs: audit export.)',
        args: [words],
        options: [['--format <format>', 'default: as the file is named, else csv', ['csv', 'ndjson']], ['-o, --out <file>', 'a new file (default: standard output)'], ...audited, from, to, namedBefore],
        examples: ['audit download --out november.csv --from 2026-11-01', 'audit download refused -o refused.ndjson', 'audit download --format ndjson | jq .summary'],
        run: async (...all) => (await import('./audit-file.ts')).download(...all),
      },
    ],
  },
  {
    name: 'link',
    purpose: 'access links: as they are, as they were, and why they opened or not',
    commands: [
      { name: 'show', purpose: 'One link; also as it was.', args: [aLink], options: [at], examples: ['link show 0198c1de', 'link show 0198c1de --at 2h'], run: async (...all) => (await history()).link(...all) },
      { name: 'diff', purpose: 'What changed of a link between two moments, and by which events.', args: [aLink], needs: [since], options: [until], examples: ['link diff 0198c1de --from 1d'], run: async (...all) => (await history()).linkDiff(...all) },
      { name: 'explain', aliases: ['why'], purpose: 'Whether a link would have opened its box then: the rule, and the event that decided.', args: [aLink], options: [at], examples: ['link explain 0198c1de', "link explain 0198c1de --at '2026-11-21 14:02'"], run: async (...all) => (await history()).whyLink(...all) },
    ],
  },
  {
    name: 'delivery',
    purpose: 'openings, as far as they had come',
    commands: [
      { name: 'show', purpose: 'One opening; also as it was.', args: [anOpening], options: [at], examples: ['delivery show 0198c1de', 'delivery show 0198c1de --at 10m'], run: async (...all) => (await history()).delivery(...all) },
      { name: 'diff', purpose: 'What became of an opening between two moments, and by which events.', args: [anOpening], needs: [since], options: [until], examples: ['delivery diff 0198c1de --from 10m'], run: async (...all) => (await history()).deliveryDiff(...all) },
    ],
  },
  {
    name: 'unlock',
    purpose: 'openings, step by step, and why they were allowed or refused',
    commands: [
      {
        name: 'trace',
        purpose: 'The way of one opening, from the request to the bolt, and where it broke.',
        args: [['<unlock>', 'command_id of the answer, or its beginning; of a refused one: the request that the answer named, or its position']],
        examples: ['unlock trace 0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50', 'unlock trace 0198c1de', 'unlock trace 4bf92f3577b34da6a3ce929d0e0e4736'],
        run: async (...all) => (await import('./trace.ts')).trace(...all),
      },
      {
        name: 'why',
        purpose: 'Why an opening was allowed, or a request refused: the rule, and the event that decided.',
        args: [['<unlock>', 'as for trace']],
        examples: ['unlock why 0198c1de', 'unlock why 4bf92f3577b34da6a3ce929d0e0e4736'],
        run: async (...all) => (await history()).whyUnlock(...all),
      },
    ],
  },
  {
    name: 'analytics',
    purpose: 'figures over time',
    commands: [
      {
        name: 'deliveries',
        purpose: 'Deliveries by day, and the hours in which most came.',
        options: [['--from <day>', 'a date (default: 30 days up to the last one)'], ['--to <day>', 'a date (default: today)'], timeZone],
        examples: ['analytics deliveries', 'analytics deliveries --from 2026-11-01 --to 2026-11-21 --tz Europe/Istanbul', 'analytics deliveries --json | jq .hourly_breakdown'],
        run: async (...all) => (await figures()).deliveries(...all),
      },
    ],
  },
  {
    name: 'system',
    purpose: 'the server and what it depends on',
    commands: [{ name: 'health', purpose: 'How each part is, and how far the read models are behind; ends with 1 where something is not well.', examples: ['system health', 'system health --json | jq .dependencies'], run: async (...all) => (await figures()).health(...all) }],
  },
];

const admins = () => import('./admins.ts');
const roles = ['super_admin', 'admin', 'support'];

export const adminCommands: readonly CommandSpec[] = [
  {
    name: 'grant',
    purpose: 'Give an account a role, or change its role and rights.',
    args: [aUser],
    options: [['--role <role>', 'default admin', roles], ['--permission <name...>', 'besides those of the role, as devices:unlock'], yes],
    examples: ['admin grant sam@example.com --role support', 'admin grant sam@example.com --role support --permission devices:unlock devices:pin'],
    run: async (...all) => (await admins()).grant(...all),
  },
  { name: 'revoke', purpose: 'Take the role away; the account stays.', args: [aUser], options: [yes], examples: ['admin revoke sam@example.com'], run: async (...all) => (await admins()).revoke(...all) },
  { name: 'roles', purpose: 'What each role brings.', examples: ['admin roles'], run: async (...all) => (await admins()).roles(...all) },
];

/** What is done through the API of a server, in the name of whoever signed in. */
export function registerRemoteCommands(program: Command, contextOf: (self: Command) => Omit<JobContext, 'url' | 'remote'>, done: (code: number) => void): void {
  for (const spec of top) addCommand(program, spec, contextOf, done);
  for (const { name, purpose, commands } of groups) {
    const group = program.command(name).description(purpose);
    for (const spec of commands) addCommand(group, spec, contextOf, done);
  }
}
