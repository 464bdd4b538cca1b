/** One mail to one person. */
export interface Mail {
  /** The same one for a repeat: whoever gets it twice can tell. Without angle brackets. */
  readonly messageId: string;
  readonly to: string;
  /** Whose it is, by an id: what is kept of it can be found without being read. */
  readonly recipient: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** BCP 47. */
  readonly language: string;
}

export interface MailSender {
  /**
   * Resolves once whoever carries it on has taken it.
   * @throws MailRefused: never for this address or this message · any other error: perhaps later
   */
  send(mail: Mail): Promise<void>;
  /** Where mails go, for a person: `mail.example.com:587 (TLS)`. */
  readonly describe: string;
  stop(): Promise<void>;
}

/** The server will not take it, however often it is tried. */
export class MailRefused extends Error {
  override readonly name = 'MailRefused';
}
