// The sentences of the page, by the part that says them.

// A text that is written in several lines, in one; what is put into it stays as it is.
export const text = (pieces, ...values) =>
  String.raw({ raw: pieces.map((piece) => piece.replace(/\s+/g, " ")) }, ...values).trim();

export const FORWARD = {
  conv: text`
    Point at an output pixel. Its window lies over the input; each weight (a small square) meets the
    pixel under it, and the products are added up, channel by channel, to the bias.`,
  flipped: text`
    Eq. 6 says convolution: first the kernel is turned by 180° (beside the output); then a
    convolution, while it slides, turns it once more (the small squares over the input). The two
    turns undo each other: each weight lies where it lay before, and the products are the same.`,
  pool: "Point at an output pixel: a pool makes one value of its window's units.",
  dense: text`
    Every output of a dense layer is a sum over all of its input: Eq. 7 with a window as large as
    the map.`,
  activation: "An activation takes every value by itself: o = f(x), Eq. 8.",
  prelu: text`
    A PReLU lets values above 0 pass, and multiplies the others by a slope that it has learned: one
    for each channel, or one for all.`,
  softmax: text`
    A softmax makes shares of the channels' values at a pixel: the exponential of each, over the
    sum of all.`,
  add: "An output is the sum of the values at its place in all that is read.",
  multiply: "An output is the product of the values at its place in all that is read.",
  concat: "The maps of what is read, one after the other: each value passes on as it is.",
  group_norm: text`
    The numbers of a group of channels are moved and scaled together to mean 0 and variance 1; that
    is x^. Then each channel has a weight and a bias of its own.`,
  layer_norm: text`
    The channels of each pixel are moved and scaled together to mean 0 and variance 1; that is x^.
    Then each channel has a weight and a bias of its own.`,
  local_response_norm: text`
    Each value is divided by a power of what the channels round it hold at the same pixel: where
    neighbours are strong, it is made weaker.`,
  channel_shuffle: text`
    The maps in another order, the first of each group, then the second of each: every value passes
    on as it is.`,
  other: "This layer passes every value on as it is.",
  source: "Eq. 6, the same sum as Eq. 7",
};

export const SHARING = {
  forward: text`
    A unit of the convolution sees only a few units of its input, and all units see theirs through
    the same weights: one colour is one weight. Point at a weight in the kernel, or at a line, to
    see where it stands; at the maps, to see other units.`,
  back: text`
    On the way back each output has its delta. A weight is one number wherever it stands, so it
    answers for all of its places: the delta at each, times the pixel that it met there, is one
    product of its gradient, and the gradient is their sum (Eq. 13).`,
  units: (inputs, outputs, weights, colours) => text`
    ${inputs} inputs and ${outputs} outputs, joined by ${weights} weights of ${colours} colours`,
  places: (kernel, places, shown) => text`
    The map of kernel ${kernel} has ${places} units, and this weight stands in each of them once.
    Here are ${shown}:`,
  together: (places) => `All ${places} products together: ∂E/∂w = `,
  more: ". The view Weight gradient lists them.",
};

export const GRADIENT = {
  none: "This network has no convolution.",
  plain: text`
    Point at a weight of the kernel. It is used at every place of the window. At each it has met a
    pixel, and at each there is a delta (a small square), what the output there did to E. Their
    products, added up, are the weight's gradient: Eq. 13.`,
  flipped: text`
    Now let the deltas be the kernel: a window as large as the output slides over the input, one
    place for each weight. Under it lies just what the weight has met. A convolution turns its
    kernel by 180° while it slides; so that the deltas lie the right way round in the end, they are
    flipped first: the small squares are the deltas, turned back. Step slides them on. That is
    Eq. 14.`,
  source: "Eq. 14, the same sum as Eq. 13",
};

export const DELTA = {
  conv: text`
    Point at an input pixel. It has gone into every output whose window lay over it: the region Q.
    What it did to E is the sum, over Q and over all output maps k, of each output's delta times the
    weight through which it saw the pixel (Eq. 16 to 20). Point at a delta or a weight to see which
    meets which.`,
  flipped: text`
    Turn the kernel by 180° and put zeros (hatched) round the deltas, for outputs that do not exist:
    then all input deltas at once are what the rotated kernel (the small squares) gives as it slides
    over them. That is Eq. 21 and 22.`,
  pool: text`
    What reaches a unit is what the windows over it pass on: all of it to a winner, or a share.`,
  dense: text`
    Every output has seen every input: the sum runs over all outputs, each one's delta times the
    weight between them.`,
  activation: text`
    The delta behind an activation is the one before it times the slope f′(x): the last factor of
    Eq. 20.`,
  prelu: text`
    The delta behind a PReLU is the one before it, and below 0 that times the slope.`,
  softmax: text`
    A channel gains what the others lose: its delta, less the mean of all the pixel's deltas,
    weighed by their shares, times its own share.`,
  add: "A sum passes its delta on as it is, to each value that it has read.",
  multiply: text`
    A product passes on, to each value that it has read, its delta times the others: they are what
    the value was multiplied by.`,
  concat: "Each value that was read gets back the deltas of its own maps, as they are.",
  group_norm: text`
    A value goes into its own output, and into the mean and the variance of its group, by which it
    moves all others. These two effects are taken off its delta.`,
  layer_norm: text`
    A value goes into its own output, and into the mean and the variance of its pixel, by which it
    moves all others. These two effects are taken off its delta.`,
  local_response_norm: text`
    A value goes into its own output, and into what the outputs of the channels round it are divided
    by.`,
  channel_shuffle: "Each map gets back the deltas of its own one, as they are.",
  other: "This layer passes every delta on as it is.",
  sent: (readers) => ` ${readers} layers have read o, and each sends a delta back: `,
  sends: (reader) => `${reader} sends `,
  sum: (layer) => `. Together they are ∂E/∂o; the terms are those of ${layer}.`,
  source: (equation) => `Eq. 22, the same sum as ${equation}`,
};

export const POOLING = {
  none: "This network has no pooling layer.",
  lead: text`
    Point at a unit. A pool makes one value of each window. On the way back max gives the whole
    delta to the unit that won (framed under Max), average an equal share to each, L2 to each in
    proportion to it. The network itself uses the one marked; the others are computed from the same
    input and deltas.`,
  windows: (count) => (count === 1 ? "The unit's window: " : "The unit's windows: "),
  back: ". The unit gets back ",
};

export const TERMS = {
  table: "The products; arrow keys go through them",
  all: (count) => `Show all ${count} terms`,
  added: "Added up in this order: ",
  exact: ": the engine's number, bit for bit.",
  other: (value) => `. The engine's number: ${value}.`,
};

export const LOSS = {
  squared_error: "what was predicted less what was wanted, y − t",
  softmax_cross_entropy: "the probability less the target, p − t",
  binary_cross_entropy: "the probability less the target, p − t",
  lead: (loss, delta) => text`
    Here the way back begins. The loss, ${loss}, compares the last layer's outputs y with the
    targets t. Its derivative by each output is the first delta: ${delta}.`,
  smoothed: (part, classes) => text`
    Label smoothing takes ${part} of the target away from the label and shares it out among all
    ${classes} classes, so that the network is not driven to be certain: the marks are these
    targets. E cannot become 0 then, however good the network is.`,
};

export const TRAINING = {
  lead: (step, images, data) =>
    `Step ${step} on ${images} images of ${data}. The image above has E = `,
  trained: ". The network has been trained before: see it learn from fresh weights.",
  fresh: "The weights are fresh",
  start: "Start over from weights that nothing has trained",
  none: "Take a step: the loss of every batch appears here.",
  replaces: "; a step from here replaces the later ones",
  back: (step) => `The network as it was after step ${step}`,
  kernels: (layer, channels) => `The kernels of ${layer}${channels > 1 ? ", for channel 0" : ""}`,
};

export const ARITHMETIC = {
  plain: text`
    How large is the output, and which pixels does it see? Change the numbers, or point at a pixel.
    On the way back every input pixel collects the weights through which outputs have seen it: at
    the edges fewer, with a stride not everywhere the same.`,
  transposed: text`
    A transposed convolution is the way back of a convolution, used forward: every input pixel puts
    the whole kernel, times itself, down in the output. Its own way back is the convolution.`,
  padded: "input, in its padding (hatched)",
  cut: "output; what is hatched is cut off",
};

export const ARTICLE = text`
  How a convolutional network learns: the sections of Jefkine's “Backpropagation In Convolutional
  Neural Networks” in our words, its equations under their numbers. Beside each section is the
  figure it speaks of, computed from your network and your image: point at it.`;

export const NETWORK = {
  reads: ({ words, reads }, nameOf) =>
    (reads.length ? `${words}, reads ${reads.map(nameOf).join(", ")}` : words),
  legend: " above; every map has its own scale. Point at a number to see it in full.",
  normalised: (offset, scale, each, black) => [
    `The network sees the pixels normalised: less ${offset}, times ${scale}`,
    each ? ", channel by channel" : "", black ? ", so that black lies below 0" : "", ".",
  ].join(""),
};

export const IMAGE = {
  taken: "The picture is taken",
  untrained: " — the network has not been trained yet",
  own: (target) => ` — your picture, against the target ${target}`,
  invert: "Light to dark: the data's images may be bright on dark",
  pad: "Drawing pad: arrow keys move, space draws",
};

export const SERVER = {
  notebook: text`
    Nobody answers: the notebook's Python has ended, or has shown this page anew. Run the cell
    again.`,
  gone: text`
    Nobody answers: convprop explore has ended. Start it again, and open its new address.`,
  saved: text`
    This is a saved page: it holds what was looked at, and what lies around it. For more, run
    convprop explore.`,
};

export const SAVE = {
  clipboard: "This browser does not let the page copy: take the address from its bar.",
  copied: "The link is copied",
  missing: (what) => `; it does not hold ${what.join(" and ")}`,
  saving: "Saving…",
  page: "The page is saved: it opens without convprop",
  picture: "The picture is saved",
};
