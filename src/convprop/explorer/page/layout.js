// Where the nodes of a network stand: in columns by depth, branches in rows, and in which row an
// edge passes the columns that it skips.

// nodes: { gives, reads }, values as the server numbers them, each after those that it reads; the
// image gives 0 and reads nothing. Returns `cells`, { row, column } by value; `edges`, { from, to,
// part, lane }: a value, the node that reads it as its part-th, and the row of the edge's way, null
// where it skips no column; and whether all is a chain.
export function layout(nodes) {
  const cells = new Map();
  for (const { gives, reads } of nodes) cells.set(gives, placed(reads, cells));
  const edges = nodes.flatMap(({ gives, reads }) =>
    reads.map((from, part) => ({ from, to: gives, part, lane: null })));
  const skips = ({ from, to }) => cells.get(to).column - cells.get(from).column - 1;
  // The shortest lie nearest to what they go round.
  const long = edges.filter(skips).sort((a, b) => skips(a) - skips(b));
  const taken = new Map([...cells].map(([value, { row, column }]) => [`${row},${column}`, value]));
  for (const edge of long) edge.lane = laneOf(edge, cells, taken);
  const chain = nodes.every(({ gives, reads }) => reads.every((from) => from === gives - 1))
    && nodes.every(({ reads }) => reads.length < 2);
  return { cells, edges, chain };
}

// One column after the last of what it reads, in the first of their rows that is free there, or
// below.
function placed(reads, cells) {
  const read = reads.map((value) => cells.get(value));
  const column = Math.max(-1, ...read.map((cell) => cell.column)) + 1;
  const taken = [...cells.values()].filter((cell) => cell.column === column);
  let row = Math.min(...read.map((cell) => cell.row), Infinity);
  if (row === Infinity) row = 0;
  while (taken.some((cell) => cell.row === row)) row += 1;
  return { row, column };
}

// The row that is free between an edge's ends, or has the same value's way in it already: that of
// one of its ends, or the nearest to where it begins.
function laneOf({ from, to }, cells, taken) {
  const [begin, end] = [cells.get(from), cells.get(to)];
  const between = Array.from(
    { length: end.column - begin.column - 1 }, (_, n) => begin.column + 1 + n);
  const way = `way of ${from}`;
  const passable = (row) => row >= 0 && between.every(
    (column) => (taken.get(`${row},${column}`) ?? way) === way);
  const rows = [begin.row, end.row];
  // Below all rows there is always one.
  for (let away = 1; !rows.some(passable); away++) rows.push(begin.row + away, begin.row - away);
  const lane = rows.find(passable);
  for (const column of between) taken.set(`${lane},${column}`, way);
  return lane;
}
