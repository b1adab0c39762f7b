/** What a person sees while the model trains: a bar on a terminal, a line now and then in a log. */
import { SingleBar } from 'cli-progress';

export interface Progress {
  step: number;
  trainLoss: number;
  validationLoss: number | undefined;
  tokensPerSecond: number;
  optimizerShare: number;
}

/** A log gets a line at every validation, and one when this much time has gone by without. */
const QUIET_MS = 15_000;

function columns(): number {
  return process.stdout.columns || 80;
}

/** Whether a terminal's line has room for the longer words. */
function wide(): boolean {
  return columns() >= 105;
}

export class Screen {
  readonly #steps: number;
  readonly #optimizer: string;
  readonly #bar: SingleBar | undefined;
  readonly #log: (line: string) => void;
  #lastLine = performance.now();

  /**
   * With `json`, standard output belongs to the result, and lines go to standard error. `silent`: a rank that leaves
   * all words to the first. `plain`: lines and no bar, since mpirun gives its ranks a terminal where it has none itself.
   */
  constructor(options: { optimizer: string; steps: number; json: boolean; silent: boolean; plain: boolean }) {
    this.#steps = options.steps;
    this.#optimizer = options.optimizer;
    const stream = options.json ? process.stderr : process.stdout;
    this.#log = options.silent ? () => undefined : (line) => stream.write(`${line}\n`);
    if (!options.silent && !options.plain && !options.json && process.stdout.isTTY) {
      this.#bar = new SingleBar({
        stream: process.stdout,
        format: '{bar} {value}/{total} | {details} | {eta_formatted}',
        barCompleteChar: '█',
        barIncompleteChar: '░',
        barsize: Math.min(30, Math.max(5, columns() - (wide() ? 95 : 78))),
        hideCursor: true,
        gracefulExit: false, // The training loop itself answers Ctrl-C: it saves first.
        etaBuffer: 50,
        fps: 5,
      });
    }
  }

  line(text: string): void {
    this.#log(text);
  }

  start(step: number): void {
    this.#bar?.start(this.#steps, step, { details: 'first step' });
  }

  /** `validated`: this step has just been scored on held-out text. */
  update(progress: Progress, validated: boolean): void {
    this.#bar?.update(progress.step, { details: this.#details(progress, wide()) });
    const due = validated || performance.now() - this.#lastLine > QUIET_MS;
    if (this.#bar || !due) return;
    this.#lastLine = performance.now();
    this.#log(`step ${progress.step}/${this.#steps} | ${this.#details(progress, true)}`);
  }

  stop(): void {
    this.#bar?.stop();
  }

  #details(progress: Progress, full: boolean): string {
    const { trainLoss, validationLoss, tokensPerSecond, optimizerShare } = progress;
    const validation =
      validationLoss === undefined ? '' : `, ${full ? 'validation' : 'val'} ${validationLoss.toFixed(3)}`;
    const speed = `${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s`;
    const share = `${this.#optimizer} ${(100 * optimizerShare).toFixed(1)} %${full ? ' of the time' : ''}`;
    return `loss ${trainLoss.toFixed(3)}${validation} | ${speed} | ${share}`;
  }
}
