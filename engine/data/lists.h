#pragma once
#include <optional>
#include "engine/data/dataset.h"

namespace kinema::engine::video {

struct ListOptions {
  std::string root = {};  ///< folder that paths count from; empty: the list's own
  std::vector<std::string> classes =
      {};  ///< all that labels may name; empty: those that the list names
  /// Whether a video may have several labels; not given: where a line names several.
  std::optional<bool> multi_label = {};
  bool files_exist = true;  ///< refuse a list that names files which are not there
};

/// Reads a CSV list, one video a line: `path,label`.
///   path    of a video file or a folder of frames; relative ones count from options.root
///   label   a class by name, or by number from 0 where options.classes is given; several, as in
///           `a;b`, make the set a multi-label one
/// Fields may stand in double quotes ("" for a quote in them, RFC 4180). A first line that says
/// path (or file, video) and label (or labels, class) is a header. UTF-8 with or without a byte
/// order mark, LF or CRLF; empty lines are passed over. Without options.classes the classes are
/// the labels in byte order, or by value where all are whole numbers. A path may come twice with
/// the same labels.
/// Errors, each with the number of its line: no comma; more than two fields; an open quote; an
/// empty path or label; a label that no class has; a label twice; several labels where
/// options.multi_label is false; a path that has other labels elsewhere. Of the list: no such file;
/// no videos; files that do not exist (how many, and the first three).
Dataset read_csv(const std::string& path, const ListOptions& options = {});

/// One class name a line, in the order of their numbers. Errors: no such file; none; one twice.
std::vector<std::string> read_classes(const std::string& path);

/// Fold `fold` of the official split of UCF101 or HMDB51, whichever format the files in the folder
/// `splits` have, of the videos in the folder `videos` (VIDEOS/CLASS/FILE or VIDEOS/FILE).
///   UCF101  classInd.txt (`1 ApplyEyeMakeup`), trainlist01.txt (`ApplyEyeMakeup/v_....avi 1`),
///           testlist01.txt (the same without number); crcv.ucf.edu/data/UCF101.php
///   HMDB51  CLASS_test_split1.txt (`NAME.avi 0`; 1: training, 2: testing, 0: neither);
///           serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database
/// Errors: a folder or list that is not there; files of neither kind; each with its line: what has
/// another form; a class or number that classInd.txt does not have. Videos that do not exist (how
/// many, and the first three), unless files_exist is false.
Split read_official(const std::string& videos, const std::string& splits, int64_t fold,
                    bool files_exist = true);

}  // namespace kinema::engine::video
