// A network's plan: its layers with their shapes, the memory they need, and one training
// step, one prediction or one inspection run over it.
//
// The batch is cut into blocks of sixteen images and the blocks into at most eight groups.
// A unit of work is a run of groups; a thread carries its unit's blocks one by one through
// the layers before the first dense one, then all together through the rest and the loss,
// and back. Then the gradients, one sum a group, are added up and the parameters updated,
// each thread doing its share of the elements. With fewer groups than threads several share
// a unit and split the maps of every layer. How many threads there are decides who computes
// a number, never in which order it is summed.
#pragma once

#include <memory>
#include <mutex>
#include <variant>
#include <vector>

#include "arena.h"
#include "conv.h"
#include "dense.h"
#include "loss.h"
#include "optimizer.h"
#include "pool.h"
#include "random.h"
#include "threads.h"

namespace convprop {

// What a profile tells apart.
enum class Pass { images, forward, loss, weight_gradient, input_delta, update, wait };
inline constexpr int PASSES = 7;

enum class LayerKind { conv, pool, dense, flatten, dropout, activation };
enum class Mode { train, predict, inspect };

struct LayerSpec {
  LayerKind kind = LayerKind::flatten;
  int kernels = 0;  // conv: K; dense: units
  Window window;
  double padding_value = 0;
  int groups = 1;
  bool bias = true, flip = false, count_padding = true;
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
  Plan(Shape input, const std::vector<LayerSpec>& layers, Loss loss, bool mean, int batch_size, Mode mode, int threads);

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
  StepResult<T> train_step(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, double learning_rate,
                           uint64_t step, uint64_t seed);
  // The same without the update; gradient(p) holds the result.
  StepResult<T> gradients(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                          uint64_t seed);
  const T* gradient(int parameter) const { return gradients_[parameter]; }
  void predict(const Images<T>& images, T* out);

  // What an inspection run left, as images [n][C][H][W]; layer 0 is the input.
  void output(int layer, T* out) const { copy_out(values_[value_of_layer_[layer]].o, out); }
  void delta(int layer, T* out) const { copy_out(values_[value_of_layer_[layer]].delta[0], out); }
  int images() const { return images_.count; }

  // From now on the seconds that each pass takes are kept, the threads' own added up.
  void start_profile();
  // 0 for what has not run; layer -1 is what belongs to none.
  double seconds(int layer, Pass pass) const;

 private:
  // What stands between two layers, in the shape it is stored in: a Flatten does not change it.
  // Deltas live in one block a unit where they are soon used up, else in as many as the batch
  // has; they have no halo.
  struct Value {
    Shape shape;
    Halo o_halo;
    Maps<T> o;
    std::vector<Maps<T>> delta;
  };
  struct ConvOp {
    ConvLayer<T> layer;
    ActivationLayer<T> activation;
    int weight, bias;  // parameters; bias < 0 where there is none
    T padding_value;
    std::vector<T*> group_dw, group_db;
    std::vector<Maps<T>> delta;  // of x, with its halo: one block a unit
  };
  struct DenseOp {
    DenseLayer<T> layer;
    ActivationLayer<T> activation;
    int weight, bias;
    Rows<T> o_rows, delta_rows;
  };
  struct PoolOp {
    PoolLayer<T> layer;
    Maps<typename Lanes<T>::Int> winner;
  };
  struct DropoutOp {
    DropoutLayer<T> layer;
    int index;
  };
  struct Op {
    std::variant<ConvOp, DenseOp, PoolOp, ActivationLayer<T>, DropoutOp> what;
    int in, out, layer;
  };

  // One thread's place in a run.
  struct Place {
    int thread, unit, part, parts;
    Range groups, blocks;
    Barrier* barrier;

    Range share_of(int count) const { return share(count, part, parts); }
  };

  void add_layers(const std::vector<LayerSpec>& layers);
  int add_value(Shape shape);
  int add_parameter(std::vector<ptrdiff_t> shape);
  void lay_out();
  Maps<T> new_maps(Shape shape, const Halo& halo, int blocks);

  StepResult<T> run(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step, uint64_t seed,
                    const double* learning_rate);
  void weigh_images(const double* sample_weight);
  StepResult<T> total_loss() const;
  template <class Body>
  void on_all_threads(const Body& body);
  Place place_of(int thread, int units, int parts);
  Range group_blocks(int group) const { return share(blocks_, group, groups_); }
  void meet(const Place& at);
  // Runs body, and where a profile is wanted adds the time it took.
  template <class Body>
  void timed(int thread, int layer, Pass pass, const Body& body);

  // Step 0 is no training step: nothing is dropped in it.
  DropoutLayer<T> dropout_now(const DropoutOp& op) const { return step_ ? op.layer : DropoutLayer<T>{0}; }

  void forward_pass(const Place& at);
  void backward_pass(const Place& at);
  void forward(Op& op, Range blocks, const Place& at);
  void backward(Op& op, Range blocks, int group, bool first_of_group, const Place& at);
  void finish(int thread);
  void update_range(int parameter, double learning_rate, ptrdiff_t begin, ptrdiff_t end);
  void copy_out(const Maps<T>& maps, T* out) const;

  const Mode mode_;
  const Loss loss_;
  const bool mean_;
  const int batch_size_, threads_;
  int head_ = 0;             // ops before this one go block by block
  int first_trainable_ = 0;  // ops before this one need no backward pass
  std::vector<Shape> layer_shapes_;
  std::vector<int> value_of_layer_;
  std::vector<Value> values_;
  std::vector<Op> ops_;
  std::vector<std::vector<ptrdiff_t>> parameter_shapes_;
  std::vector<T*> parameters_, gradients_, state_;
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
  const double* learning_rate_ = nullptr;
  double weight_sum_ = 0;
  std::vector<double> image_weight_, image_loss_;
  std::vector<T> image_factor_;
  std::vector<int> image_correct_;
};

}  // namespace convprop
