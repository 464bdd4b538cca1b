/** What people are told of. A kind is for ever: settings and rows hang on it. */
const ownerKinds = [
  'link_opened',
  'unlock_unknown',
  'unexplained_opening',
  'emergency_unlock',
  'battery_low',
  'device_offline',
  'device_online',
  'device_jammed',
  'device_tampered',
  'clone_suspected',
  'unlink_done',
] as const;
const accountKinds = ['password_changed', 'refresh_token_reused', 'new_sign_in'] as const;
const adminKinds = ['admin_emergency_unlock', 'admin_unexplained_opening', 'admin_clone_suspected', 'admin_unlink_request'] as const;

export const kinds = [...ownerKinds, ...accountKinds, ...adminKinds] as const;
export type Kind = (typeof kinds)[number];

/** Shown in the app alone, unless somebody asks for the mail. */
const quietByDefault: ReadonlySet<Kind> = new Set(['device_online']);
/** What protects the account cannot be switched off: whoever has taken it over would do that first. */
export const alwaysMailed: ReadonlySet<Kind> = new Set(['password_changed', 'refresh_token_reused']);

export type MailSwitches = Readonly<Partial<Record<Kind, boolean>>>;

export function isMailed(kind: Kind, switches: MailSwitches): boolean {
  return alwaysMailed.has(kind) || (switches[kind] ?? !quietByDefault.has(kind));
}

export const languages = ['en', 'tr'] as const;
export type Language = (typeof languages)[number];

export interface NotificationSettings {
  readonly language: Language;
  /** IANA name. */
  readonly timeZone: string;
  readonly mail: MailSwitches;
}

/** Ids and figures only; what is personal is joined when it is shown. */
export type Facts = Readonly<Record<string, string | number | boolean>>;
