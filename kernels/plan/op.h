// The operations of a network, and what a plan asks of each.
//
// An operation is a type that owns its computations, its memory and its algorithm. It is made of its
// description, the shape that it reads (a join: the shapes), and the way in which the plan will run, for which `takes` says
// whether it is the right one. Most have a shape; what else one has, it names as follows, and
// what it does not name it does not do:
//
//   forward(v, blocks, at)           what it gives, for the thread's share of it
//   input_delta(v, blocks, at)       the delta of what it reads
//   parameters()                     their shapes; then gradient(p), weight_gradient(v, blocks, at), its
//                                    part in the sum of the group, and gather(p, step, thread, threads):
//                                    a share of the sums of all groups, of which it returns the elements
//                                    (of a parameter that is not trained, nothing is asked for)
//   add_part(step, thread, threads)  of a batch that comes in parts, what is left to do behind each: its
//                                    share of that
//   make_delta(v, blocks, at)        what all threads make together before weight_gradient, if anything
//   prepare(v, thread, threads)      before any block
//   forward_image, input_delta_image, weight_gradient_image, gather_images
//                                    the same, image by image (GAINS_BY_IMAGE: and faster so, of a few)
//   place(memory, delta_is_given), scratch(mode)
//                                    its memory; the numbers that each thread has to work in
//   activation                       computed in place behind it
//   own_delta_halo()                 it keeps its delta with a halo, unless the one that reads what it
//                                    gives writes it there at once
//   writes_through(added)           whether it can do so
//   halo(), padding_value            round what it reads
//   POINTWISE                        it gives numbers in the shape that it reads, and so has none
//   passes_on(alone)                 whether it gives what it reads, and computes nothing, where nobody
//                                    else reads that
//   TOGETHER                         it is fastest over all blocks of a unit at once; BY_BLOCK: it
//                                    takes one at a time
//   follower()                       the operation that does the rest of its layer, behind it
//   AFTER_ALL                        it wants all images through what it reads: a segment begins
//   begin(v, step, thread, threads)  then, before its segment runs, a share of what they say together;
//   end(v, step, thread, threads)    and of what their deltas do, when its segment has run back
//   SUMS_FOR_DELTA                   weight_gradient is asked for though no parameter is trained
//   keep_statistics(v, thread, threads)
//                                    after a step, a share of what the others hold
#pragma once

#include <optional>
#include <variant>

#include "ops/activation.h"
#include "ops/batch_norm.h"
#include "ops/block_norm.h"
#include "ops/channel_shuffle.h"
#include "ops/conv.h"
#include "ops/dense.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/gather_images.h"
#include "ops/image_conv.h"
#include "ops/image_norm.h"
#include "ops/join.h"
#include "ops/local_response_norm.h"
#include "ops/pool.h"
#include "ops/prelu.h"
#include "ops/softmax.h"
#include "ops/stochastic_depth.h"
#include "ops/winograd.h"

namespace convprop {

template <class T>
using Op = std::variant<ConvOp<T>, ImageConvOp<T>, WinogradOp<T>, DenseOp<T>, PoolOp<T>, ActivationOp<T>, DropoutOp<T>,
                        StochasticDepthOp<T>, FlattenOp<T>, ChannelShuffleOp<T>, PReLUOp<T>, SoftmaxOp<T>, AddOp<T>, MultiplyOp<T>,
                        ConcatOp<T>, GroupNormOp<T>, LayerNormOp<T>, LocalResponseNormOp<T>, FrozenNormOp<T>, BatchMomentsOp<T>,
                        BatchNormOp<T>, BlockNormOp<T>, GatherImagesOp<T>>;

// What a plan wants to know of an operation before it makes it.
struct Traits {
  bool gains_by_image, together, by_block;
  bool by_shape;  // whether what it reads must lie in memory in the shape that it is told
};

// Of the one that takes a description; nothing where none does.
template <class T, size_t I = 0>
std::optional<Traits> traits_of(const Description& description, const Way& way) {
  if constexpr (I == std::variant_size_v<Op<T>>) {
    return {};
  } else {
    using One = std::variant_alternative_t<I, Op<T>>;
    if (!One::takes(description, way)) return traits_of<T, I + 1>(description, way);
    return Traits{requires { One::GAINS_BY_IMAGE; }, requires { One::TOGETHER; }, requires { One::BY_BLOCK; },
                  requires(One op) { op.shape; } && !requires { One::TOGETHER; } && !requires(One op) { op.passes_on(true); }};
  }
}

// std::invalid_argument where none does.
template <class T, size_t I = 0>
Op<T> make_op(const Description& description, const std::vector<Shape>& in, const Way& way) {
  if constexpr (I == std::variant_size_v<Op<T>>) {
    description.refuse("there is no such operation");
  } else {
    using One = std::variant_alternative_t<I, Op<T>>;
    if (One::takes(description, way)) {
      constexpr bool joins = std::is_constructible_v<One, const Description&, const std::vector<Shape>&, const Way&>;
      if (joins != (in.size() > 1)) description.refuse(joins ? "it reads several values" : "it reads one value");
      if constexpr (joins) return One(description, in, way);
      else if constexpr (std::is_constructible_v<One, const Description&, const Shape&, const Way&>) return One(description, in[0], way);
    }
    return make_op<T, I + 1>(description, in, way);
  }
}

}  // namespace convprop
