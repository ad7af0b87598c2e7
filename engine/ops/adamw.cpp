#include "engine/ops/adamw.h"
#include "engine/served.h"
#include "kernels/adamw/adamw.h"

namespace kinema::engine {

void adamw_step(const AdamWOptions& options, const Tensor& update, const Tensor& w, const Tensor& g,
                const Tensor& m, const Tensor& v, const Tensor& working) {
  kernels::check_adamw(options, update.view(), w.view(), g.view(), m.view(), v.view(),
                       working.view());
  Served<kernels::AdamW>("adamw", kernels::adamw, w.device())
      .run(&kernels::AdamW::step, w.stream(), options, update.view(), w.view(), g.view(), m.view(),
           v.view(), working.view());
}

void check_adamw(const AdamWOptions& options) { kernels::check_adamw_options(options); }

}  // namespace kinema::engine
