// A network's plan: its layers with their shapes, the memory they need, and one training
// step, one prediction or one inspection run over it (step.cc).
//
// The batch is cut into blocks of sixteen images and the blocks into at most eight groups.
// A unit of work is a run of groups. A thread carries its unit through the network a few
// blocks at a time, as many as stay in its cache: each by itself through the layers before the
// first dense one, then together through the rest and the loss, and back. Then the gradients,
// one sum a group, are added up and the parameters updated, each thread doing its share of the
// elements. With fewer groups than threads several share a unit and split the maps of every
// layer. How many threads there are decides who computes a number, never in which order it is
// summed.
//
// A batch that would leave most lanes empty is taken image by image through the layers before
// the first dense one, with sixteen pixels in the lanes (image_conv.h) and the images shared
// among the threads.
#pragma once

#include <memory>
#include <mutex>
#include <variant>
#include <vector>

#include "conv.h"
#include "dense.h"
#include "image_conv.h"
#include "loss.h"
#include "optimizer.h"
#include "pool.h"
#include "random.h"
#include "threads.h"
#include "winograd.h"

namespace convprop {

// What a profile tells apart.
enum class Pass { images, forward, loss, weight_gradient, input_delta, update, wait };
inline constexpr int PASSES = 7;

// How many sums of gradients there are at most: it decides their order, and so is no setting.
inline constexpr int MOST_GROUPS = 8;

enum class LayerKind { conv, pool, dense, flatten, dropout, activation };
enum class Mode { train, predict, inspect };

struct LayerSpec {
  LayerKind kind = LayerKind::flatten;
  int kernels = 0;  // conv: K; dense: units
  Window window;
  double padding_value = 0;
  int groups = 1;
  bool bias = true, flip = false, count_padding = true, winograd = false;
  Pooling pooling = Pooling::max;
  Activation activation = Activation::identity;
  double slope = 0.01, rate = 0;
};

// The images of one call, of either pixel type.
template <class T>
struct Images {
  const uint8_t* bytes;  // one of these two
  const T* values;
  const int64_t* index;
  int count;
  const T* offset;
  const T* scale;
};

template <class T>
struct StepResult {
  double loss;
  int correct;
};

template <class T>
class Plan {
 public:
  // Measured alone it has no memory, and can tell shapes and bytes.
  Plan(Shape input, const std::vector<LayerSpec>& layers, LossSpec loss, bool mean, int batch_size, Mode mode, int threads,
       bool measured_alone = false);

  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // The shapes of the parameters in layer order, weights then biases: {K, C / groups, k1, k2}
  // or {K, F} or {K}.
  const std::vector<std::vector<ptrdiff_t>>& parameter_shapes() const { return parameter_shapes_; }
  Shape layer_shape(int layer) const { return layer_shapes_[layer]; }
  int layers() const { return int(layer_shapes_.size()) - 1; }
  int batch_size() const { return batch_size_; }
  size_t bytes() const { return arena_.bytes(); }

  void bind(std::vector<T*> parameters) { parameters_ = std::move(parameters); }
  // One or two state arrays a parameter, in order.
  void bind_optimizer(const Optimizer& optimizer, std::vector<T*> state) {
    optimizer_ = optimizer;
    state_ = std::move(state);
  }

  // Forward, loss and backward; then the update, unless the loss is not finite.
  // Gradients whose norm, all together, is above clip_norm are scaled down to it first; 0: never.
  StepResult<T> train_step(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, double learning_rate,
                           uint64_t step, uint64_t seed, double clip_norm = 0);
  // The same without the update; gradient(p) holds the result.
  StepResult<T> gradients(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                          uint64_t seed);
  const T* gradient(int parameter) const { return gradients_[parameter]; }
  void predict(const Images<T>& images, T* out);

  // What an inspection run left, as images [n][C][H][W]; layer 0 is the input.
  void output(int layer, T* out) const { copy_out(values_[value_of_layer_[layer]].o[0], out); }
  void delta(int layer, T* out) const { copy_out(values_[value_of_layer_[layer]].delta[0], out); }
  int images() const { return images_.count; }

  // From now on the seconds that each pass takes are kept, the threads' own added up.
  void start_profile();
  // Of all threads together, and of the one that took longest; 0 for what has not run. Layer -1 is
  // what belongs to none.
  struct Seconds {
    double all = 0, longest = 0;
  };
  Seconds seconds(int layer, Pass pass) const;

 private:
  // What stands between two layers, in the shape it is stored in: a Flatten does not change it.
  // One for each unit, of the blocks it carries at once; inspection keeps those of the whole batch.
  // Deltas have no halo.
  struct Value {
    Shape shape;
    Halo o_halo;
    T padding_value = 0;
    bool by_image = false;
    std::vector<Maps<T>> o, delta;
  };
  struct ConvOp {
    ConvLayer<T> layer;
    ActivationLayer<T> activation;
    int weight, bias;  // parameters; bias < 0 where there is none
    // The delta of x with its halo: one block a unit, or one image a thread.
    std::vector<Maps<T>> delta;
    // By Winograd's algorithm group_dw holds the sums of its transformed tiles.
    std::vector<T*> group_dw, group_db;
    bool winograd;
    T* transformed = nullptr;  // its weights
    T* image_gradients = nullptr;  // ImageConv::gradient_size() an image
    bool delta_is_made = false;  // by the op behind it, which writes `delta` itself
    int conv_before = -1;        // the op whose `delta` it writes, where nothing else stands between
  };
  struct DenseOp {
    DenseLayer<T> layer;
    ActivationLayer<T> activation;
    int weight, bias;
    Rows<T> o_rows, delta_rows;
  };
  struct PoolOp {
    PoolLayer<T> layer;
    std::vector<Maps<typename Lanes<T>::Int>> winner;
    int conv_before = -1;
  };
  struct DropoutOp {
    DropoutLayer<T> layer;
  };
  // From maps image by image to a block of them.
  struct GatherOp {};
  struct Op {
    std::variant<ConvOp, DenseOp, PoolOp, ActivationLayer<T>, DropoutOp, GatherOp> what;
    int in, out, layer;
  };
  template <class Kind>
  static const Kind* as(const Op& op) {
    return std::get_if<Kind>(&op.what);
  }

  // How far a step goes.
  struct Descent {
    double learning_rate, clip_norm;
  };
  // Some elements of a parameter.
  struct Run {
    int parameter;
    ptrdiff_t begin, end;
  };
  static constexpr ptrdiff_t RUN = 4096;

  // One thread's place in a run.
  struct Place {
    int thread, unit, part, parts;
    Range groups;
    Range blocks;  // those carried at once just now
    Barrier* barrier;

    Range share_of(int count) const { return share(count, part, parts); }
  };

  void add_layers(const std::vector<LayerSpec>& layers);
  int add_value(Shape shape);
  int add_parameter(std::vector<ptrdiff_t> shape);
  void lay_out();
  void lay_out_conv(ConvOp& conv, const Shape& out, int groups, int units);
  int blocks_at_once(int blocks_each) const;
  double multiply_adds() const;
  bool few_images(const std::vector<LayerSpec>& layers) const;

  StepResult<T> run(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step, uint64_t seed,
                    const Descent* descent);
  void transform_weights(int thread, int threads);
  void weigh_images(const double* sample_weight);
  StepResult<T> total_loss() const;
  template <class Rest>
  void on_all_threads(const Rest& rest);
  Place place_of(int thread, int units, int parts);
  Range group_blocks(int group) const { return share(blocks_, group, groups_); }
  void meet(const Place& at);
  void meet_all(int thread);
  // Runs body, and where a profile is wanted adds the time it took.
  template <class Body>
  void timed(int thread, int layer, Pass pass, const Body& body);

  // Step 0 is no training step: nothing is dropped in it.
  DropoutLayer<T> dropout_now(const DropoutOp& op) const { return step_ ? op.layer : DropoutLayer<T>{0}; }

  const T* parameter(int p) const { return p < 0 ? nullptr : parameters_[p]; }

  // Of the unit, counted by the blocks of the batch.
  Maps<T> output_of(int value, const Place& at) const { return of_unit(values_[value].o, at); }
  Maps<T> delta_of(int value, const Place& at) const { return of_unit(values_[value].delta, at); }
  template <class U>
  Maps<U> of_unit(const std::vector<Maps<U>>& maps, const Place& at) const {
    if (maps.empty()) return {};
    return mode_ == Mode::inspect ? maps[0] : maps[at.unit].from(at.blocks.begin);
  }

  template <class To>
  void read_images(const To& to) const;
  void forward_pass(const Place& at);
  void backward_pass(const Place& at);
  void forward(Op& op, Range blocks, const Place& at);
  void backward(Op& op, Range blocks, int group, bool first_of_group, const Place& at);
  void forward_image(Op& op, int n, Range maps, const Place& at);
  void backward_conv(ConvOp& conv, const Op& op, int block, int group, bool first_of_group, const Place& at);
  void backward_image(Op& op, int n, const Place& at);
  void loss(const Place& at);
  void finish(int thread);
  void clip_and_update(int thread);
  void update_range(int parameter, ptrdiff_t begin, ptrdiff_t end);
  void copy_out(const Maps<T>& maps, T* out) const;

  const Mode mode_;
  const LossSpec loss_;
  const bool mean_;
  const int batch_size_, threads_;
  bool by_image_;            // the head goes image by image
  bool one_is_soon_done_;    // one image's prediction, before another thread would have woken up
  int head_ = 0;             // ops before this one go block by block
  int at_once_ = 0;          // blocks that a unit carries at once
  int first_trainable_ = 0;  // ops before this one need no backward pass
  std::vector<Shape> layer_shapes_;
  std::vector<int> value_of_layer_;
  std::vector<Value> values_;
  std::vector<Op> ops_;
  std::vector<std::vector<ptrdiff_t>> parameter_shapes_;
  std::vector<T*> parameters_, gradients_, state_, by_kernel_, room_;
  std::vector<Run> runs_;  // of all parameters
  std::vector<double> square_sums_;
  Optimizer optimizer_;
  Arena arena_;
  std::vector<std::unique_ptr<Barrier>> barriers_;  // one a unit, and the last for all threads
  std::vector<double> seconds_;                     // by thread, layer + 1 and pass; empty without a profile

  // Of the run under way; one at a time.
  std::mutex running_;
  Images<T> images_{};
  Targets<T> targets_{};
  uint64_t step_ = 0, seed_ = 0;
  int blocks_ = 0, groups_ = 0;
  const Descent* descent_ = nullptr;  // null where nothing is updated
  double weight_sum_ = 0;
  double *image_weight_ = nullptr, *image_loss_ = nullptr;  // one number an image each
  T* image_factor_ = nullptr;
  int* image_correct_ = nullptr;
};

}  // namespace convprop
