// A whole network's plan: Python describes the layers (description.h) and keeps the parameters as
// arrays, which training updates in place.
#include "module.h"
#include "names.h"
#include "plan/plan.h"

namespace convprop {

namespace {

Mode mode_named(const std::string& name) {
  return one_of<Mode>(name, "mode", {{"train", Mode::train}, {"predict", Mode::predict}, {"inspect", Mode::inspect}});
}

// Everything a step reads, checked against the plan.
template <class T>
struct StepArguments {
  Images<T> images;
  Targets<T> targets;
  const double* sample_weight;
};

template <class T>
class PythonPlan {
 public:
  using Bytes = Array<uint8_t>;
  using Values = Array<T>;
  using Index = std::optional<Array<int64_t>>;
  using Weights = std::optional<Array<double>>;
  using Labels = Array<int32_t>;

  PythonPlan(std::array<int, 3> input, const std::vector<std::string>& layers, LossSpec loss, int batch_size, const std::string& mode,
             const std::string& reduction, bool measured_alone, int part_size)
      : input_{input[0], input[1], input[2]},
        predicts_only_(mode_named(mode) == Mode::predict),
        plan_(input_, layers, loss, one_of<bool>(reduction, "reduction", {{"mean", true}, {"sum", false}}), batch_size,
              mode_named(mode), SharedPool::instance().threads(), measured_alone, part_size) {}

  void bind(const std::vector<MutableArray<T>>& parameters) {
    check_arrays(parameters, plan_.parameter_shapes());
    parameters_ = parameters;
    plan_.bind(pointers(parameters_));
  }

  // factors: of the learning rate and the weight decay, for each trained parameter; none: 1.
  void bind_optimizer(const std::string& kind, const std::map<std::string, double>& settings, const std::vector<MutableArray<T>>& state,
                      const std::vector<std::array<double, 2>>& factors) {
    Optimizer optimizer;
    optimizer.kind = optimizer_named(kind);
    for (const auto& [name, value] : settings)
      *one_of<double*>(name, "setting",
                       {{"momentum", &optimizer.momentum},
                        {"nesterov", &optimizer.nesterov},
                        {"weight_decay", &optimizer.weight_decay},
                        {"beta1", &optimizer.beta1},
                        {"beta2", &optimizer.beta2},
                        {"epsilon", &optimizer.epsilon},
                        {"alpha", &optimizer.alpha},
                        {"rho", &optimizer.rho},
                        {"trust", &optimizer.trust},
                        {"decoupled", &optimizer.decoupled}}) = value;
    const size_t slots = optimizer.slots(), trained = plan_.trained().size();
    require(state.size() == slots * trained, "state must hold one array a slot and trained parameter");
    for (size_t s = 0; s < state.size(); s++)
      require(ptrdiff_t(state[s].size()) == size_of(trained_shape(s / slots)), "state must have its parameter's size");
    require(factors.empty() || factors.size() == trained, "there must be one pair of factors a trained parameter");
    std::vector<Factors> of_each;
    for (const auto& [rate, decay] : factors) of_each.push_back({rate, decay});
    state_ = state;
    plan_.bind_optimizer(optimizer, pointers(state_), of_each);
  }

  template <class Pixel, class Target>
  nb::tuple train_step(Array<Pixel> images, Index indices, Target targets, Weights sample_weight, Values offset, Values scale,
                       double learning_rate, uint64_t step, uint64_t seed, double clip_norm, int first, int whole) {
    auto a = arguments(images, indices, targets, sample_weight, offset, scale, whole);
    require(first >= 0 && first % LANES == 0 && (whole == 0 ? first == 0 : a.images.count < whole && first + a.images.count <= whole), "a part must lie in its batch");
    require(a.images.count <= plan_.part_size(), "a part takes at most part_size images");
    require(whole <= plan_.batch_size(), "a step takes at most batch_size images");
    require(whole == 0 || first + a.images.count == whole || a.images.count % LANES == 0, "a part must be whole blocks, but for the last");
    a.images.first = a.targets.first = first;
    require(!state_.empty() || plan_.trained().empty(), "bind_optimizer comes first");
    require(step > 0, "steps count from 1");
    StepResult<T> result;
    {
      const Unlocked unlocked;
      result = plan_.train_step(a.images, a.targets, a.sample_weight, learning_rate, step, seed, clip_norm, whole);
    }
    return nb::make_tuple(result.loss, a.targets.labels ? result.correct : -1);
  }

  template <class Pixel, class Target>
  nb::tuple gradients(Array<Pixel> images, Index indices, Target targets, Weights sample_weight, Values offset, Values scale,
                      uint64_t step, uint64_t seed, const std::vector<MutableArray<T>>& gradients) {
    const auto a = arguments(images, indices, targets, sample_weight, offset, scale);
    const std::vector<int>& trained = plan_.trained();
    require(gradients.size() == trained.size(), "there must be one array a trained parameter");
    for (size_t p = 0; p < trained.size(); p++)
      require(ptrdiff_t(gradients[p].size()) == size_of(trained_shape(p)), "array " + std::to_string(p) + " does not have its parameter's size");
    StepResult<T> result;
    {
      const Unlocked unlocked;
      result = plan_.gradients(a.images, a.targets, a.sample_weight, step, seed);
      for (size_t p = 0; p < trained.size(); p++) std::copy_n(plan_.gradient(trained[p]), gradients[p].size(), gradients[p].data());
    }
    return nb::make_tuple(result.loss, a.targets.labels ? result.correct : -1);
  }

  template <class Pixel>
  NewArray<T> predict(Array<Pixel> images, Index indices, Values offset, Values scale) {
    require(predicts_only_, "only a plan in predict mode predicts");
    Images<T> batch = images_of(images, indices, offset, scale);
    const int all = batch.count;
    const Shape shape = plan_.layer_shape(plan_.layers());
    std::vector<size_t> sizes{size_t(all), size_t(shape.C)};
    if (shape.H * shape.W > 1) sizes.insert(sizes.end(), {size_t(shape.H), size_t(shape.W)});
    auto out = new_array<T>(sizes);
    const ptrdiff_t in_size = ptrdiff_t(input_.C) * input_.H * input_.W, out_size = ptrdiff_t(shape.C) * shape.H * shape.W;
    const Unlocked unlocked;
    for (int first = 0; first < all; first += plan_.batch_size()) {
      batch.count = std::min(plan_.batch_size(), all - first);
      plan_.predict(batch, out.data() + first * out_size);
      if (batch.index) batch.index += batch.count;
      else if (batch.bytes) batch.bytes += batch.count * in_size;
      else batch.values += batch.count * in_size;
    }
    return out;
  }

  NewArray<T> output(int layer) const {
    auto out = layer_array(layer);
    plan_.output(layer, out.data());
    return out;
  }

  NewArray<T> delta(int layer) const {
    auto out = layer_array(layer);
    plan_.delta(layer, out.data());
    return out;
  }

  size_t bytes() const { return plan_.bytes(); }

  void start_profile() { plan_.start_profile(); }

  // (layer, pass, seconds of all threads, seconds of the one that took longest) of all that has run
  // since start_profile.
  std::vector<std::tuple<int, std::string, double, double>> profile() const {
    std::vector<std::tuple<int, std::string, double, double>> rows;
    for (int layer = -1; layer < plan_.layers(); layer++)
      for (int pass = 0; pass < PASSES; pass++)
        if (const auto seconds = plan_.seconds(layer, Pass(pass)); seconds.all > 0)
          rows.emplace_back(layer, PASS_NAMES[pass], seconds.all, seconds.longest);
    return rows;
  }

  static void define(nb::module_& m, const char* name) {
    using namespace nb::literals;
    nb::class_<PythonPlan> c(m, name);
    c.def("bind", &PythonPlan::bind, "parameters"_a);
    c.def("bind_optimizer", &PythonPlan::bind_optimizer, "kind"_a, "settings"_a, "state"_a,
          "factors"_a = std::vector<std::array<double, 2>>());
    define_steps<uint8_t, Labels>(c);
    define_steps<uint8_t, Values>(c);
    define_steps<T, Labels>(c);
    define_steps<T, Values>(c);
    define_predict<uint8_t>(c);
    define_predict<T>(c);
    c.def("output", &PythonPlan::output, "layer"_a);
    c.def("delta", &PythonPlan::delta, "layer"_a);
    c.def_prop_ro("bytes", &PythonPlan::bytes);
    c.def("start_profile", &PythonPlan::start_profile);
    c.def("profile", &PythonPlan::profile);
  }

 private:
  template <class Pixel, class Target>
  static void define_steps(nb::class_<PythonPlan>& c) {
    using namespace nb::literals;
    c.def("train_step", &PythonPlan::train_step<Pixel, Target>, nb::arg("images").noconvert(), nb::arg("indices").none(),
          nb::arg("targets").noconvert(), nb::arg("sample_weight").none(), "offset"_a, "scale"_a, "learning_rate"_a, "step"_a, "seed"_a,
          "clip_norm"_a = 0.0, "first"_a = 0, "whole"_a = 0);
    c.def("gradients", &PythonPlan::gradients<Pixel, Target>, nb::arg("images").noconvert(), nb::arg("indices").none(),
          nb::arg("targets").noconvert(), nb::arg("sample_weight").none(), "offset"_a, "scale"_a, "step"_a, "seed"_a, "gradients"_a);
  }

  template <class Pixel>
  static void define_predict(nb::class_<PythonPlan>& c) {
    using namespace nb::literals;
    c.def("predict", &PythonPlan::predict<Pixel>, nb::arg("images").noconvert(), nb::arg("indices").none(), "offset"_a, "scale"_a);
  }

  static ptrdiff_t size_of(const std::vector<ptrdiff_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), ptrdiff_t(1), std::multiplies<>());
  }

  const std::vector<ptrdiff_t>& trained_shape(size_t place) const { return plan_.parameter_shapes()[plan_.trained()[place]]; }

  static std::vector<T*> pointers(const std::vector<MutableArray<T>>& arrays) {
    std::vector<T*> p;
    for (const auto& array : arrays) p.push_back(array.data());
    return p;
  }

  static void check_arrays(const std::vector<MutableArray<T>>& arrays, const std::vector<std::vector<ptrdiff_t>>& shapes) {
    require(arrays.size() == shapes.size(), "there must be one array a parameter");
    for (size_t p = 0; p < arrays.size(); p++)
      require(ptrdiff_t(arrays[p].size()) == size_of(shapes[p]), "array " + std::to_string(p) + " does not have its parameter's size");
  }

  template <class Pixel>
  Images<T> images_of(const Array<Pixel>& images, const Index& indices, const Values& offset, const Values& scale) const {
    require(images.ndim() == 4 && length(images, 1) == input_.C && length(images, 2) == input_.H && length(images, 3) == input_.W,
            "images must have the network's input shape");
    require(offset.size() == size_t(input_.C) && scale.size() == size_t(input_.C), "offset and scale must have one value a channel");
    require(!parameters_.empty() || plan_.parameter_shapes().empty(), "bind comes first");
    const int64_t rows = int64_t(images.shape(0)), count = indices ? int64_t(indices->size()) : rows;
    require(count > 0 && count <= LARGEST_SIZE, "there must be an image, and no more than an int counts");
    for (int64_t n = 0; indices && n < count; n++)
      require(indices->data()[n] >= 0 && indices->data()[n] < rows, "indices must be rows of images");
    Images<T> batch{nullptr, nullptr, indices ? indices->data() : nullptr, int(count), offset.data(), scale.data()};
    if constexpr (std::is_same_v<Pixel, uint8_t>) batch.bytes = images.data();
    else batch.values = images.data();
    return batch;
  }

  template <class Pixel, class Target>
  StepArguments<T> arguments(const Array<Pixel>& images, const Index& indices, const Target& targets, const Weights& sample_weight,
                             const Values& offset, const Values& scale, int whole = 0) const {
    require(!predicts_only_, "a plan in predict mode does not train");
    StepArguments<T> a{images_of(images, indices, offset, scale), {nullptr, nullptr, nullptr}, nullptr};
    require(a.images.count <= plan_.batch_size(), "a step takes at most batch_size images");
    const Shape out = plan_.layer_shape(plan_.layers());
    const int64_t outputs = int64_t(out.C) * out.H * out.W;
    require(targets.ndim() >= 1 && targets.shape(0) == images.shape(0), "there must be one target an image");
    if constexpr (std::is_same_v<Target, Labels>) {
      require(targets.ndim() == 1, "labels must have one axis");
      for (int n = 0; n < a.images.count; n++) {
        const int32_t label = targets.data()[a.images.index ? a.images.index[n] : n];
        require(label >= 0 && label < outputs, "labels must be outputs of the network");
      }
      a.targets.labels = targets.data();
    } else {
      require(int64_t(targets.size()) == int64_t(images.shape(0)) * outputs, "targets must have one value an output");
      a.targets.values = targets.data();
    }
    a.targets.index = a.images.index;
    // Of a part, the weights are those of the whole batch.
    require(!sample_weight || sample_weight->size() == (whole ? size_t(whole) : images.shape(0)), "there must be one sample weight an image");
    a.sample_weight = sample_weight ? sample_weight->data() : nullptr;
    return a;
  }

  NewArray<T> layer_array(int layer) const {
    require(layer >= 0 && layer <= plan_.layers() && plan_.images() > 0 && !predicts_only_, "no such layer, or nothing computed yet");
    const Shape s = plan_.layer_shape(layer);
    return new_array<T>({size_t(plan_.images()), size_t(s.C), size_t(s.H), size_t(s.W)});
  }

  Shape input_;
  bool predicts_only_;
  Plan<T> plan_;
  std::vector<MutableArray<T>> parameters_, state_;
};

}  // namespace

void define_plan(nb::module_& m) {
  using namespace nb::literals;
  PythonPlan<float>::define(m, "Plan32");
  PythonPlan<double>::define(m, "Plan64");
  // answer(plan) of a new plan of either type.
  const auto define = [&](const char* name, bool measured_alone, auto answer) {
    m.def(
        name,
        [=](const std::string& dtype, std::array<int, 3> input_shape, const std::vector<std::string>& layers, const std::string& loss,
            int batch_size, const std::string& mode, const std::string& reduction, double label_smoothing, int part_size) {
          const LossSpec what{loss_named(loss), label_smoothing};
          const auto plan = [&]<class T>(T) {
            return answer(std::make_unique<PythonPlan<T>>(input_shape, layers, what, batch_size, mode, reduction, measured_alone, part_size));
          };
          return one_of<bool>(dtype, "dtype", {{"float64", true}, {"float32", false}}) ? plan(double()) : plan(float());
        },
        "dtype"_a, "input_shape"_a, "layers"_a, "loss"_a, "batch_size"_a, "mode"_a, "reduction"_a = "mean", "label_smoothing"_a = 0.0, "part_size"_a = 0);
  };
  define("Plan", false, [](auto plan) { return nb::cast(plan.release(), nb::rv_policy::take_ownership); });
  define("plan_bytes", true, [](auto plan) { return plan->bytes(); });
}

}  // namespace convprop
