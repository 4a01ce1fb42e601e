// The article, section by section in our own words, and what shows it.

import { text } from "./prose.js";

// A section: its title, what it says (pairs are a letter and its meaning), its equations, and the
// view that shows it.
export const SECTIONS = [
  ["What a convolutional network is", [
    text`
      An image goes in at one end and a guess comes out at the other. Between them are layers, the
      row above. Convolutions look for small patterns, the same ones everywhere; activations bend
      the line, so that many layers can say more than one; pools make the maps smaller; and at the
      end every unit is joined to every other, as in any network, down to the outputs. A loss says
      how wrong they are.`,
    text`
      The whole of learning is to ask of each number in between how the loss would change with it.
      This page answers that for every one: point at any output and see what it is made of.`,
  ], [], ["Look at an output", { view: "forward", at: "first" }]],
  ["One kernel, many places", [
    text`
      A convolutional layer has a small kernel of weights and lays it on its input. What lies on top
      of one another is multiplied, and the products are added up: that is one output. Then the
      kernel moves on by a pixel and does the same with the same weights. This is weight sharing:
      the layer learns one small pattern, and looks for it everywhere.`,
  ], [1], ["See where each weight stands", { view: "sharing", at: "first" }]],
  ["Correlation and convolution", [
    text`
      Mathematicians call something else a convolution: there the kernel's indices run against the
      image's, so that the first weight meets the last pixel of the window.`,
    text`
      That is the correlation again with a kernel turned by 180°. Nothing is gained by it in a
      network, where the weights are learned: turned or not, training finds them. But the derivation
      below turns kernels and deltas, and the word convolution then says which way.`,
  ], [2, 3], ["Turn the kernel", { view: "forward", flipped: true, at: "first" }]],
  ["Channels and kernels", [
    text`
      An image has channels, and the maps between layers are channels too. A kernel has a window of
      weights for each, and all products go into one sum, with one bias. Each kernel of a layer
      makes a map of its own.`,
  ], [4, 5], ["Go through the channels", { view: "forward", flipped: false, at: "deep" }]],
  ["The letters", [
    ["l", "a layer, from 1 for the first to L for the last"],
    ["i, j", text`
      a row and a column of a map, which has H rows and W columns; i′, j′ are those of one chosen
      pixel`],
    ["w, m, n", text`
      a kernel, and a row and a column of it; it has k₁ rows and k₂ columns; m′, n′ are those of one
      chosen weight`],
    ["b", "a kernel's bias"],
    ["o", "what goes into a layer: the output of the one before"],
    ["x", "the convolved input, plus the bias"],
    ["f", "the activation: o = f(x)"],
    ["y, t", "the network's outputs, and the targets, what they should have been"],
    ["E", "the error"],
    ["δ", "the delta, ∂E/∂x: how E changes with x"],
    ["Q", "the outputs that a pixel has gone into"],
    ["⊗, ∗", "cross-correlation and convolution"],
    ["padding", text`
      the article has none, so its maps shrink from layer to layer. Where a layer has padding
      (hatched in the figures), so many zeros stand round its input: then o has the indices i + m −
      padding, and there are as many outputs as the map shows`],
  ], [], ["Find them in the figure", { view: "forward", at: "first" }]],
  ["Forward", [
    text`
      So this is what a layer does, written as a convolution with the turned kernel and, since two
      turns undo each other, as the plain sum of products.`,
    "Behind it comes an activation, value by value. Of it the way back needs only the slope.",
  ], [6, 7, 8], ["Add an output up", { view: "forward", flipped: false, at: "first" }]],
  ["The error", [
    text`
      The figure shows the loss that this network was given; the article's is the squared error. One
      number E says how wrong the outputs are. Everything that follows asks how E changes when
      something else does: first an output, then a weight, then an input.`,
  ], [9], ["Look at E and the first deltas", { view: "loss" }]],
  ["What a weight did", [
    text`
      The weight was used at every place of the window. So it moved every output of the map, and
      each of them moved E. The chain rule adds all these ways up: at each place, what the output
      did to E, which is its delta, times what the weight did to the output.`,
    text`
      What the weight did to an output is easy. The output is a sum of products, and of these only
      one holds the weight: its derivative is the pixel that lay under it.`,
  ], [10, 11, 12], ["Follow one colour back", { view: "sharing", back: true, at: "first" }]],
  ["Adding it up", [
    text`
      Put together: walk over the map, multiply each delta with the pixel that the weight met there,
      and add up. The two sums over the map are there because the weight is shared: one number, used
      at all of these places, answers for all of them.`,
  ], [13], ["Collect a weight's products", { view: "gradient", flipped: false, at: "first" }]],
  ["Why that is a convolution", [
    text`
      Look at which pixels one weight meets while the window slides: a block as large as the output
      map. The weight beside it meets the block beside that one. So the whole gradient comes from
      sliding a window as large as the output over the input, one place for each weight, with the
      deltas as its kernel: the same sum of products as forward, with the deltas in the weights'
      place.`,
    text`
      A sum with plus signs is a correlation. To call it a convolution, the kernel must be turned
      first, because a convolution turns it once more while sliding. Here the kernel is the map of
      deltas. That is why the gradient of the weights is the convolution of the input with the
      flipped deltas.`,
  ], [14], ["Slide the deltas over the input", { view: "gradient", flipped: true, at: "first" }]],
  ["What a pixel did", [
    text`
      A pixel of the input went into several outputs: all those whose window lay over it. They form
      a region Q, a rectangle in the output map. E changes with the pixel by way of each of them.`,
    text`
      The weight between the pixel and an output of Q is the one that lay over the pixel when the
      window was there. As one goes down and to the right in Q, this weight goes up and to the left
      in the kernel.`,
  ], [15, 16, 17], ["Find the region Q", { view: "delta", flipped: false, at: "deep" }]],
  ["The slope, and the next delta", [
    text`
      If the pixel is itself the output of an activation, one more factor turns what arrives there
      into the delta of the layer before: the slope f′ at its sum. Then that layer can do all of
      this again.`,
  ], [18, 19, 20], ["Add a delta up", { view: "delta", flipped: false, at: "behind" }]],
  ["The rotated kernel", [
    text`
      Since the weights run against the region, all deltas at once come from sliding the kernel,
      turned by 180°, over the output's deltas and adding up what lies on top of one another. A
      pixel at the edge has gone into fewer outputs; zeros round the deltas stand for those that do
      not exist.`,
    text`
      Of the ways to write this the article's are short: in Eq. 21 it is the kernel in the braces
      that is rotated, and in Eq. 22 the rotation is the turn that a convolution makes anyhow,
      written out. It is made once. (Turned twice, the kernel would lie as it did on the way
      forward, and the weights would run with the region instead of against it.)`,
  ], [21, 22], ["Rotate the kernel", { view: "delta", flipped: true, at: "deep" }]],
  ["Pooling", [
    text`
      A pool makes one value of a window. Max keeps the largest, and remembers who won: on the way
      back the whole delta goes to the winner, and the others, which could have changed a little
      without any effect, get nothing. Average gives every unit an equal share. L2 takes the root of
      the sum of squares, and returns to each unit its share of that length.`,
  ], ["max", "max routing", "average", "average routing", "l2", "l2 routing"],
  ["Compare the three", { view: "pooling" }]],
  ["And then a step", [
    text`
      With every gradient known, each weight moves a little against its own. That is gradient
      descent; doing it over and over, on a few images at a time, is training.`,
  ], [], ["Train", { view: "training" }]],
  ["What it comes to", [
    text`
      Three sums of products are all there is: outputs from weights and pixels, weight gradients
      from deltas and pixels, deltas from deltas and weights. Each is a convolution, and which two
      maps it takes follows from the layer one goes through.`,
    text`
      Because weights are shared there are few of them, and a pattern is found wherever it is.
      Because layers follow one another, and pools make the maps smaller, later units see more and
      more of the image: one output of the second convolution, its receptive field framed in the
      image, sees more than one of the first.`,
  ], [], ["See how far it sees", { view: "forward", at: "deep" }]],
];
