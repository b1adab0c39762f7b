/** Lines of text with every column as wide as its widest entry: the first is left-aligned, others right unless named. */
export function align(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0),
  );
  return rows.map((row) =>
    row
      .map((text, column) =>
        left.includes(column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
}
