// A network's plan: its operations in the order in which they run, the values between them, the memory
// that all need, and one training step, one prediction or one inspection run over it (step.cc).
//
// The batch is cut into blocks of sixteen images and the blocks into at most eight groups.
// A unit of work is a run of groups. A thread carries its unit through the network a few
// blocks at a time, as many as stay in its cache: each by itself through the operations before the
// first dense one, the head, then together through the rest and the loss, and back. Where an operation
// wants all images first, as the statistics of a batch do, the network is cut into segments: all
// threads meet between them, forward and back, and what crosses a border, or is a sum of products,
// is kept for the whole batch; the rest of a segment is made again on the way back. Then the gradients,
// one sum a group, are added up and the parameters updated, each thread doing its share of the
// elements. With fewer groups than threads several share a unit and split the maps of every
// operation. How many threads there are decides who computes a number, never in which order it is
// summed.
//
// A batch that would leave most lanes empty is taken image by image through the head, with sixteen
// pixels in the lanes (image_conv.h) and the images shared among the threads.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ops/loss.h"
#include "plan/op.h"
#include "plan/optimizer.h"
#include "plan/profile.h"

namespace convprop {

// The images of one call, of either pixel type.
template <class T>
struct Images {
  const uint8_t* bytes;  // one of these two
  const T* values;
  const int64_t* index;
  int count;
  const T* offset;
  const T* scale;
  int first = 0;  // of a part of a batch: its place there
};

template <class T>
struct StepResult {
  double loss;
  int correct;
};

template <class T>
class Plan {
 public:
  // The layers as descriptions (description.h), each of which says what it `reads`: 0 is the image, and
  // n + 1 what layer n gives. Measured alone it has no memory, and can tell shapes and bytes. A batch
  // may come in parts of at most part_size images, a multiple of sixteen; 0: as a whole.
  Plan(Shape input, const std::vector<std::string>& layers, LossSpec loss, bool mean, int batch_size, Mode mode, int threads,
       bool measured_alone = false, int part_size = 0);

  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // The shapes of the parameters in layer order, and the numbers of those that are trained.
  const std::vector<std::vector<ptrdiff_t>>& parameter_shapes() const { return parameter_shapes_; }
  const std::vector<int>& trained() const { return trained_; }
  // Layer 0 is the input.
  Shape layer_shape(int layer) const { return layers_[layer].shape; }
  int layers() const { return int(layers_.size()) - 1; }
  int batch_size() const { return batch_size_; }
  int part_size() const { return part_size_; }
  size_t bytes() const { return arena_.bytes(); }

  void bind(std::vector<T*> parameters) { parameters_ = std::move(parameters); }
  // One or two state arrays a trained parameter, in order, and the factors of its rate and decay.
  void bind_optimizer(const Optimizer& optimizer, const std::vector<T*>& state, const std::vector<Factors>& factors = {});

  // Forward, loss and backward; then the update, unless the loss is not finite.
  // Gradients whose norm, all together, is above clip_norm are scaled down to it first; 0: never.
  // Of a batch of `whole` images that comes in parts, each but the last is whole blocks, and the weights
  // are those of the batch, in its order; the last part's result is that of all.
  StepResult<T> train_step(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, double learning_rate,
                           uint64_t step, uint64_t seed, double clip_norm = 0, int whole = 0);
  // The same without the update; gradient(p) holds the result.
  StepResult<T> gradients(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                          uint64_t seed);
  const T* gradient(int parameter) const { return gradients_[parameter]; }
  void predict(const Images<T>& images, T* out);

  // What an inspection run left, as images [n][C][H][W].
  void output(int layer, T* out) const { copy_out(values_[layers_[layer].value].o[0], out); }
  void delta(int layer, T* out) const { copy_out(values_[layers_[layer].value].delta[0], out); }
  int images() const { return images_.count; }

  // From now on the seconds that each pass takes are kept, the threads' own added up.
  void start_profile();
  Profile::Seconds seconds(int layer, Pass pass) const { return profile_.seconds(layer, pass); }

 private:
  // What a layer gives: its shape, and which value, a Flatten giving that which it reads.
  struct Layer {
    Shape shape;
    int value;
  };
  struct Operation {
    Op<T> op;
    int layer;               // -1 for what belongs to none
    std::vector<int> reads;  // values
    int gives = -1;
    std::vector<bool> trained = {};  // of its parameters
    int first_parameter = 0;
    int segment = 0;
    bool again = false;     // on the way back, since what it gives is not kept
    bool backward = false;  // whether it has deltas to compute
    std::vector<Reading<T>> readings = {};

    bool trains() const { return std::find(trained.begin(), trained.end(), true) != trained.end(); }
  };

  // How far a step goes.
  struct Descent {
    double learning_rate, clip_norm;
  };
  // Some elements of a parameter.
  struct Piece {
    int parameter, layer;
    ptrdiff_t begin, end;
  };
  static constexpr ptrdiff_t PIECE = 4096;

  // plan.cc
  bool few_images(const std::vector<Description>& layers, const std::vector<std::vector<int>>& reads) const;
  void add_operations(const std::vector<Description>& layers, const std::vector<std::vector<int>>& reads);
  int flattened(int value, int layer);
  int with_halo(int value, int layer, const Halo& halo, T padding_value);
  void add_operation(Operation operation);
  void gather_images();
  void find_segments();
  void find_head();
  void find_deltas();
  void find_readings();
  void find_kept();
  std::vector<int> shared_deltas() const;
  int blocks_at_once(int blocks_each) const;
  double multiply_adds() const;
  void lay_out();

  // fuse.cc
  bool fuse(const ActivationOp<T>& activation, int layer);
  void write_through();

  // step.cc
  StepResult<T> run(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step, uint64_t seed,
                    const Descent* descent, int whole = 0);
  bool is_last_part() const { return images_.first + images_.count == step_.groups.images; }
  void prepare(int thread, int threads);
  void weigh_images(const double* sample_weight);
  StepResult<T> total_loss() const;
  template <class Rest>
  void on_all_threads(const Rest& rest);
  Share share_of(int thread, int units, int parts, Range groups);
  Range group_blocks(int group) const { return step_.groups.blocks_in(group); }
  void meet(const Share& at);
  void meet_all(int thread);
  template <class Body>
  void timed(int thread, int layer, Pass pass, const Body& body) {
    profile_.timed(thread, layer, pass, body);
  }
  Operands<T> operands(const Operation& operation, const Share& at) {
    return {at, operation.readings, values_[operation.gives], parameters_.data() + operation.first_parameter,
            scratch_.empty() ? nullptr : scratch_[at.thread], operation.layer};
  }
  template <class To>
  void read_images(const To& to) const;
  void read_block(int block, const Share& at);
  template <class Body>
  void each_block(const Share& at, const Body& body);
  void cross(int segment, int thread, int threads, bool forwards);
  void forward_segment(int segment, const Share& at);
  void backward_segment(int segment, const Share& at);
  void forward_pass(const Share& at);
  void backward_pass(const Share& at);
  void forward(Operation& operation, Range blocks, const Share& at);
  void backward(Operation& operation, Range blocks, const Share& at);
  void forward_image(Operation& operation, int n, Range maps, const Share& at);
  void backward_image(Operation& operation, int n, const Share& at);
  void loss(const Share& at);
  void copy_out(const Maps<T>& maps, T* out) const;

  // update.cc
  void add_part(int thread);
  void finish(int thread);
  void clip(int thread, Range mine);
  void measure_squares(int thread, Range mine);
  template <class Body>
  void each_piece(int thread, Range mine, const Body& body);
  double ratio_of(int parameter) const;
  void update_range(int parameter, ptrdiff_t begin, ptrdiff_t end, double ratio = 1);
  Descending<T> descending(int parameter) const;

  const Mode mode_;
  const LossSpec loss_;
  const bool mean_;
  const int batch_size_, part_size_, threads_;
  bool by_image_;            // the head goes image by image
  bool one_is_soon_done_;    // one image's prediction, before another thread would have woken up
  std::vector<Range> segments_{{0, 0}};  // of operations, of which there may be none
  int head_ = 0;             // operations before this one go block by block
  int at_once_ = 0;          // blocks that a unit carries at once
  std::vector<Layer> layers_;
  std::vector<Value<T>> values_;
  // Of each value: the segment that gives it, and the value in whose memory it lies.
  std::vector<int> segment_of_{0}, memory_of_{0};
  std::vector<Operation> operations_;
  std::vector<std::vector<ptrdiff_t>> parameter_shapes_;
  std::vector<int> trained_;
  std::vector<T*> parameters_, gradients_;  // no gradient of what is not trained
  std::vector<T*> state_;
  std::vector<Factors> factors_;
  std::vector<T*> scratch_;  // one a thread
  std::vector<Piece> pieces_;  // of all trained parameters
  std::vector<double> square_sums_;  // of each piece's gradients
  std::vector<Squares> squares_;     // of what an optimizer that adapts goes by
  Optimizer optimizer_;
  Arena arena_;
  std::vector<std::unique_ptr<Barrier>> barriers_;  // one a unit, and the last for all threads
  Profile profile_;

  // Of the run under way; one at a time.
  std::mutex running_;
  Images<T> images_{};
  Targets<T> targets_{};
  Step step_;
  const Descent* descent_ = nullptr;  // null where nothing is updated
  double weight_sum_ = 0;
  double *image_weight_ = nullptr, *image_loss_ = nullptr;  // one number an image each
  T* image_factor_ = nullptr;
  int* image_correct_ = nullptr;
};

}  // namespace convprop
