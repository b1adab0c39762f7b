/** A bar on standard error, where that is a terminal; in a log it would be thousands of lines, so there is none. */
import { SingleBar } from 'cli-progress';

export interface Progress {
  /** `what` is done next. */
  show(what: string): void;
  advance(): void;
  stop(): void;
}

const silent: Progress = { show: () => undefined, advance: () => undefined, stop: () => undefined };

export function progress(total: number): Progress {
  if (!process.stderr.isTTY) return silent;
  const bar = new SingleBar({
    format: '{bar} {value}/{total} | {what} | {duration_formatted}',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false, // its handler shows the cursor again, and then the program would go on
  });
  const interrupted = (): void => {
    bar.stop();
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  bar.start(total, 0, { what: '' });
  return {
    show: (what) => bar.update({ what }),
    advance: () => bar.increment(),
    stop() {
      process.off('SIGINT', interrupted);
      bar.stop();
    },
  };
}

/** Lets the bar redraw itself and Ctrl-C arrive between two pieces of work that keep the thread busy. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
